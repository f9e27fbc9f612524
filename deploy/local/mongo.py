"""The database as a private child: mongod where there is one, otherwise SecantusDB from the environment."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.failures import CannotStart
from deploy.local.folder import Folder
from deploy.local.ports import Ports
from deploy.local.rights import SERVICES
from deploy.local.supervisor import Program, Supervisor
from deploy.local.waiting import wait_until

NAME = "mongo"
ROOT = "root"
USERS = (*SERVICES, ROOT)
FIRST_START_WITHIN = 60.0  # seconds, for the round in which the users are made
STAGE = 0

MONGOD, SECANTUS_RUST, SECANTUS = "mongod", "secantusd-rs", "secantusd-py"

# What is acknowledged is on disk; without the journal flag a kill -9 loses writes that were acknowledged.
DURABLE = "directConnection=true&w=majority&journal=true"
# Retryable writes, the drivers' default, bring SecantusDB to a halt after some ten thousand of them.
WITHOUT_RETRIES = f"{DURABLE}&retryWrites=false"

USER_EXISTS = 51003
ALREADY_INITIATED = 23

Client = MongoClient[dict[str, Any]]


class Database:
    """One private server in `<data>/mongo`, with a user for each service that sees its own database only."""

    def __init__(self, folder: Folder, ports: Ports, passwords: Mapping[str, str], cluster_key: str) -> None:
        self._folder = folder
        self._passwords = passwords
        self._port = ports.take("mongo")
        self._cluster_key = cluster_key
        self._engine, self._binary = _choose_engine(folder)
        self._options = DURABLE if self._engine == MONGOD else WITHOUT_RETRIES

    def url(self, service: str) -> str:
        return f"{self._address(service)}/{service}?authSource={service}&{self._options}"

    @property
    def admin_url(self) -> str:
        return f"{self._address(ROOT)}/?authSource=admin&{self._options}"

    def start(self, supervisor: Supervisor) -> None:
        """Start it; the first time, once without authentication, to make the users that it then asks for."""
        users = self._folder.path / "mongo" / "users.json"
        wanted = hashlib.sha256(json.dumps(dict(self._passwords), sort_keys=True).encode()).hexdigest()
        if self._folder.read_json("mongo/users.json") != wanted:
            users.unlink(missing_ok=True)
            supervisor.start(self._program(authenticate=False))
            with self._client(f"mongodb://127.0.0.1:{self._port}/?{self._options}") as client:
                self._wait_writable(supervisor, client, FIRST_START_WITHIN)
                for user, password in self._passwords.items():
                    ensure_user(client, user, password)
            supervisor.end(NAME)
            self._folder.write_json("mongo/users.json", wanted)
        supervisor.start(self._program(authenticate=True))

    def wait_ready(self, supervisor: Supervisor, timeout: float) -> None:
        with self._client(self.admin_url) as client:
            self._wait_writable(supervisor, client, timeout)

    def settle(self, supervisor: Supervisor, timeout: float) -> bool:
        """Restart a new store once, when the services have made their indexes; True if that was due.

        A SecantusDB that made indexes keeps the view of that moment until it ends: nothing written since can
        be let go, and after minutes of load a read takes seconds. See ADR 4.
        """
        if self._engine == MONGOD or self._folder.read_json("mongo/settled.json"):
            return False
        supervisor.end(NAME)
        supervisor.start(self._program(authenticate=True))
        self.wait_ready(supervisor, timeout)
        self._folder.write_json("mongo/settled.json", True)
        return True

    def _wait_writable(self, supervisor: Supervisor, client: Client, timeout: float) -> None:
        wait_until(lambda: self._is_writable(client), supervisor, NAME, timeout)

    def _is_writable(self, client: Client) -> bool:
        try:
            if client.admin.command("hello").get("isWritablePrimary"):
                client.admin.command("listDatabases", nameOnly=True)  # proves the sign-in as well
                return True
            if self._engine == MONGOD:
                member = {"_id": 0, "host": f"127.0.0.1:{self._port}"}
                client.admin.command("replSetInitiate", {"_id": "mes", "members": [member]})
        except OperationFailure as refusal:
            if refusal.code != ALREADY_INITIATED:
                raise CannotStart(f"The database refuses the launcher: {refusal}") from refusal
        except PyMongoError:
            pass  # not listening yet
        return False

    def _program(self, authenticate: bool) -> Program:
        home = self._folder.subfolder(f"mongo/{self._engine}")
        argv = [self._binary, "--port", str(self._port)]
        if self._engine == MONGOD:
            argv += ["--bind_ip", "127.0.0.1", "--dbpath", str(home), "--replSet", "mes", "--nounixsocket"]
            if authenticate:
                argv += ["--keyFile", str(self._folder.write("mongo/cluster.key", self._cluster_key, 0o400))]
        else:
            # An empty configuration of our own, or it would take one that it finds in the user's home.
            nothing = self._folder.write("mongo/secantusd.toml", "")
            argv += ["--config", str(nothing), "--host", "127.0.0.1", "--storage-path", str(home)]
            # Otherwise a transaction is acknowledged before its log leaves the process, whatever its write
            # concern, and a kill -9 loses it.
            argv += ["--cache-size", "256M", "--log-level", "WARNING", "--sync-on-commit"]
            if authenticate:
                argv += ["--auth"]
        return Program(NAME, argv, dict(os.environ), stage=STAGE, grace=20.0)

    def _address(self, user: str) -> str:
        return f"mongodb://{user}:{self._passwords[user]}@127.0.0.1:{self._port}"

    def _client(self, url: str) -> Client:
        return MongoClient(url, serverSelectionTimeoutMS=500, connectTimeoutMS=500)


def ensure_user(client: Client, user: str, password: str) -> None:
    """Create the user, or give an existing one this password and these roles."""
    database = client["admin" if user == ROOT else user]
    roles = ["root"] if user == ROOT else [{"role": "readWrite", "db": user}]
    try:
        database.command("createUser", user, pwd=password, roles=roles)
    except OperationFailure as refusal:
        if refusal.code != USER_EXISTS:
            raise
        database.command("updateUser", user, pwd=password, roles=roles)


def _choose_engine(folder: Folder) -> tuple[str, str]:
    """The engine that made the data, or else the best one here: its name and its binary."""
    beside_python = Path(sys.executable).with_name(SECANTUS)
    found = {
        MONGOD: shutil.which(MONGOD),
        SECANTUS_RUST: shutil.which(SECANTUS_RUST),
        SECANTUS: str(beside_python) if beside_python.exists() else shutil.which(SECANTUS),
    }
    # Their files differ: a mongod that was installed since must not turn existing data into an empty store.
    by_preference = sorted(found, key=lambda engine: not (folder.path / "mongo" / engine).exists())
    for engine in by_preference:
        binary = found[engine]
        if binary:
            return engine, binary
    raise CannotStart(
        "There is no database here.", "Run: make .venv/.ready, or give MES_MONGO_URL a MongoDB."
    )
