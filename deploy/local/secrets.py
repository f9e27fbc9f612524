"""Passwords of one data folder: random, made once, readable by their owner only."""

import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from deploy.local.folder import Folder

FILE = "secrets.json"
ADMIN_EMAIL = "admin@mes.example.com"


@dataclass(frozen=True)
class Administrator:
    """The portal's first person."""

    email: str
    password: str


@dataclass(frozen=True)
class Secrets:
    broker: dict[str, str]  # broker user → password
    database: dict[str, str]  # database user → password
    cluster_key: str  # what members of a mongod replica set prove to each other
    admin: Administrator


def load(folder: Folder, broker_users: Iterable[str], database_users: Iterable[str]) -> Secrets:
    """The stored secrets; what is missing (a first start, a new service) is added and stored."""
    stored: dict[str, Any] = folder.read_json(FILE) or {}
    broker, database = stored.get("broker", {}), stored.get("database", {})
    complete = Secrets(
        broker={user: broker.get(user) or _password() for user in broker_users},
        database={user: database.get(user) or _password() for user in database_users},
        cluster_key=stored.get("cluster_key") or secrets.token_hex(64),
        admin=Administrator(**stored.get("admin") or {"email": ADMIN_EMAIL, "password": _password()}),
    )
    if asdict(complete) != stored:
        folder.write_json(FILE, asdict(complete))
    return complete


def _password() -> str:
    # URL-safe, so that it can stand in a connection string as it is.
    return secrets.token_urlsafe(18)
