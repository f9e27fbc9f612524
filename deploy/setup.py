"""Users and rights on a broker and a database that run elsewhere: before the first start, again any time.

`python -m deploy.setup passwords` prints new ones as an .env file; `python -m deploy.setup` applies them.
The local launcher needs none of this.
"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deploy import topology
from deploy.local import mongo, rights

PATIENCE = 120.0  # seconds that the servers may take to come up

# Everyone needs a password; for the services one opens both the broker and the database.
PEOPLE = (*rights.USERS, mongo.ROOT, "admin")


def password_variable(user: str) -> str:
    return f"MES_PASSWORD_{user.upper()}"


def new_passwords() -> str:
    lines = [f"{password_variable(user)}={secrets.token_urlsafe(18)}" for user in PEOPLE]
    return "\n".join([*lines, f"MES_CLUSTER_KEY={secrets.token_hex(64)}"]) + "\n"


def apply(environment: Mapping[str, str]) -> None:
    """Create or correct users, rights and exchanges."""
    passwords = {user: environment[password_variable(user)] for user in rights.USERS}
    _patiently(lambda: _import_definitions(environment["MES_RABBITMQ_API"], passwords))
    asyncio.run(topology.declare(environment["MES_AMQP_URL"]))
    with MongoClient[dict[str, Any]](environment["MES_MONGO_URL"]) as client:
        _patiently(lambda: client.admin.command("ping"))
        for service in rights.SERVICES:
            mongo.ensure_user(client, service, passwords[service])


def _import_definitions(api: str, passwords: Mapping[str, str]) -> None:
    sign_in = (rights.OPERATOR, passwords[rights.OPERATOR])
    answer = httpx.post(
        f"{api}/api/definitions", auth=sign_in, json=rights.definitions(passwords), timeout=30
    )
    answer.raise_for_status()


def _patiently(step: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            step()
            return
        except (httpx.TransportError, PyMongoError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def main() -> int:
    if sys.argv[1:] == ["passwords"]:
        print(new_passwords(), end="")
        return 0
    try:
        apply(os.environ)
    except KeyError as missing:
        print(f"{missing.args[0]} is not set; see deploy/README.md", file=sys.stderr)
        return 2
    print("users, rights and exchanges are in place")
    return 0


if __name__ == "__main__":
    sys.exit(main())
