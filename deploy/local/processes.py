"""The portal's own processes: which there are, and the environment that each is given."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.rights import GATEWAY, SERVICES

KINDS = (*SERVICES, GATEWAY)
IDENTITY = "identity"

Commands = Mapping[str, Sequence[str]]

# The launcher's own knowledge of these never reaches a child that is not meant to have them.
PRIVATE = ("MES_AMQP_URL", "MES_MONGO_URL", "MES_ADMIN_EMAIL", "MES_ADMIN_PASSWORD", "MES_PORT", "MES_HOST")


def commands() -> dict[str, list[str]]:
    """How each kind of process is started."""
    services = {service: [sys.executable, "-m", f"services.{service}.main"] for service in SERVICES}
    return {**services, GATEWAY: [sys.executable, "-m", "gateway.main"]}


@dataclass(frozen=True)
class Process:
    """One process of a kind: `registry`, `registry-2`."""

    kind: str
    name: str

    def ready_file(self, data: Path) -> Path:
        return data / "ready" / self.name


def processes(replicas: Mapping[str, int]) -> list[Process]:
    """All that are to run, services first."""
    return [
        Process(kind, kind if number == 1 else f"{kind}-{number}")
        for kind in KINDS
        for number in range(1, replicas.get(kind, 1) + 1)
    ]


def base_environment() -> dict[str, str]:
    """What every child inherits: the launcher's environment (PATH, OTEL_*, …) without its secrets."""
    inherited = {name: value for name, value in os.environ.items() if name not in PRIVATE}
    return {**inherited, "PYTHONUNBUFFERED": "1"}


def environment(process: Process, data: Path, amqp_url: str) -> dict[str, str]:
    """What every process of the portal is given. The launcher adds what only some may have."""
    return {
        **base_environment(),
        "MES_PROCESS": process.name,
        "MES_AMQP_URL": amqp_url,
        "MES_OBJECTS_URL": f"file://{data / 'objects'}",
        "MES_TRACE_DIR": str(data / "traces"),
        "MES_READY_FILE": str(process.ready_file(data)),
    }
