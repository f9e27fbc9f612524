"""RabbitMQ as a private child: Debian's package, or a container where there is none but a Docker engine."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local import apt, rights
from deploy.local.failures import CannotStart
from deploy.local.folder import Folder
from deploy.local.ports import Ports
from deploy.local.supervisor import Program, Supervisor
from deploy.local.waiting import wait_until

NAME, EPMD = "rabbitmq", "epmd"
PACKAGE = "rabbitmq-server"
IMAGE = "rabbitmq:4-management"
STAGE = 1

# The wrapper on the PATH insists on system folders and on its own user; the script behind it does not.
SCRIPTS = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",
)

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
CONNECTION_START = b"\x00\x0a\x00\x0a"  # class 10, method 10: the server's first words

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - inside a container, which publishes on loopback only

CONFIGURATION = """\
# Written by the launcher at each start.
listeners.tcp.1 = {address}:{port}
load_definitions = {definitions}
loopback_users = none
disk_free_limit.absolute = 100MB
# The default journal of 512 MB is for servers; this node is for one developer.
raft.wal_max_size_bytes = 33554432
"""


class Broker:
    """One private node in `<data>/rabbitmq`."""

    def __init__(self, folder: Folder, ports: Ports, passwords: Mapping[str, str]) -> None:
        self._folder = folder
        self._passwords = passwords
        self._port = ports.take("amqp")
        self._ports = ports

    def url(self, user: str) -> str:
        return f"amqp://{user}:{self._passwords[user]}@127.0.0.1:{self._port}/"

    def start(self, supervisor: Supervisor, report: apt.Report = apt.silent) -> None:
        for program in self._programs(report):
            supervisor.start(program)

    def wait_ready(self, supervisor: Supervisor, timeout: float) -> None:
        wait_until(lambda: speaks_amqp(self._port), supervisor, NAME, timeout)

    def _programs(self, report: apt.Report) -> list[Program]:
        script = find_script()
        if script is None and _docker_answers():
            return [self._container()]
        if script is None:
            apt.install(PACKAGE, report)
            script = find_script()
        if script is None:
            raise CannotStart(
                "rabbitmq-server is installed, but not where Debian puts it.", f"Looked at {SCRIPTS}"
            )
        return self._node(script)

    def _node(self, script: Path) -> list[Program]:
        home = self._folder.subfolder("rabbitmq")
        self._folder.subfolder("rabbitmq/home")  # Erlang keeps its cookie there
        env = {
            **os.environ,
            "HOME": str(home / "home"),
            "ERL_EPMD_PORT": str(self._ports.take("epmd")),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Without it the script puts a shell between us and the node, whose pid would not be the node's.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            # Names the data folder too: a port in it would mean an empty broker whenever the port changes.
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_DIST_PORT": str(self._ports.take("erlang")),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(self._configure(home / "definitions.json", "127.0.0.1", self._port)),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder.write("rabbitmq/plugins", "[].\n")),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        # Our own epmd, because the node would otherwise leave one behind that listens on all interfaces.
        epmd = [shutil.which("epmd") or "epmd", "-port", env["ERL_EPMD_PORT"], "-address", "127.0.0.1"]
        return [
            Program(EPMD, epmd, env, stage=STAGE - 1),
            Program(NAME, [str(script), "-noinput"], env, stage=STAGE, grace=20.0),
        ]

    def _container(self) -> Program:
        home = self._folder.subfolder("rabbitmq")
        container = f"mes-{hashlib.sha256(str(self._folder.path).encode()).hexdigest()[:12]}"
        self._configure(Path("/mes/definitions.json"), ANY_ADDRESS, 5672)
        argv = ["docker", "run", "--rm", "--name", container, "--hostname", "mes"]
        argv += ["--publish", f"127.0.0.1:{self._port}:5672"]
        argv += ["--volume", f"{container}:/var/lib/rabbitmq"]
        argv += ["--env", "RABBITMQ_CONFIG_FILE=/mes/rabbitmq.conf"]
        for name in ("definitions.json", "rabbitmq.conf"):
            # One by one, because the container's user may not look into our folder.
            argv += ["--volume", f"{home / name}:/mes/{name}:ro"]
        return Program(
            NAME,
            [*argv, IMAGE],
            dict(os.environ),
            stage=STAGE,
            grace=30.0,
            # A client that was killed leaves its container running.
            before=lambda: _run_quietly(["docker", "rm", "--force", container]),
        )

    def _configure(self, definitions: Path, address: str, port: int) -> Path:
        # Readable by others only in a container, whose user is not ours; its folder is ours alone.
        mode = 0o600 if address == "127.0.0.1" else 0o644
        self._folder.write(
            "rabbitmq/definitions.json", json.dumps(rights.definitions(self._passwords), indent=1), mode
        )
        text = CONFIGURATION.format(address=address, port=port, definitions=definitions)
        return self._folder.write("rabbitmq/rabbitmq.conf", text, mode)


def find_script() -> Path | None:
    for pattern in SCRIPTS:
        for path in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True):
            return path
    return None


def speaks_amqp(port: int) -> bool:
    """Whether the broker answers a client's first bytes. It listens only once users and rights are loaded."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            client.settimeout(2)
            client.sendall(PROTOCOL_HEADER)
            return client.recv(11, socket.MSG_WAITALL)[7:11] == CONNECTION_START
    except OSError:
        return False


def _docker_answers() -> bool:
    return shutil.which("docker") is not None and _run_quietly(["docker", "version"])


def _run_quietly(argv: list[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def ensure_installed(report: apt.Report) -> None:
    """Install the broker now, so that a later start does not have to."""
    if find_script() is None and not _docker_answers():
        apt.install(PACKAGE, report)


if __name__ == "__main__":
    try:
        ensure_installed(print)
    except CannotStart as failure:
        sys.exit(str(failure))
