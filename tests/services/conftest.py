"""A real broker and database for all service tests, and services as the processes that they are."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local import LocalParts
from deploy.local.processes import base_environment
from libs.bus.rpc import Asker

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 15.0


class RunningService:
    """One process of a service. Its log is beside its ready file."""

    def __init__(self, name: str, argv: list[str], env: dict[str, str], ready: Path) -> None:
        self.name = name
        self._ready = ready
        self._log = ready.with_suffix(".log")
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(argv, env=env, stdout=log, stderr=subprocess.STDOUT)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} is not ready:\n{self.log()[-4000:]}")
            time.sleep(0.05)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._ready.unlink(missing_ok=True)


class Services:
    """Starts services against the parts, and stops them in the end."""

    def __init__(self, parts: LocalParts, folder: Path) -> None:
        self._parts = parts
        self._folder = folder
        self._started: list[RunningService] = []

    def start(self, service: str, process: str = "", wait: bool = True, **env: str) -> RunningService:
        """`env` adds to the environment, as in `MES_ADMIN_EMAIL="…"`."""
        name = process or service
        ready = self._folder / name
        ready.unlink(missing_ok=True)
        environment = {
            **base_environment(),
            "MES_AMQP_URL": self._parts.amqp_url(service),
            "MES_MONGO_URL": self._parts.mongo_url(service),
            "MES_PROCESS": name,
            "MES_READY_FILE": str(ready),
            **env,
        }
        argv = [sys.executable, "-m", f"services.{service}.main"]
        started = RunningService(name, argv, environment, ready)
        self._started.append(started)
        if wait:
            started.wait_ready()
        return started

    def stop(self) -> None:
        for started in self._started:
            if started.process.poll() is None:
                started.stop()


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalParts]:
    with LocalParts(tmp_path_factory.mktemp("parts")) as started:
        yield started


@pytest.fixture(scope="session")
def services(parts: LocalParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    running = Services(parts, tmp_path_factory.mktemp("services"))
    yield running
    running.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def asker(parts: LocalParts) -> AsyncIterator[Asker]:
    """Asks as a gateway does."""
    asking = Asker(parts.amqp_url("gateway"), "gateway")
    await asking.start()
    await asking.opened(10)
    yield asking
    await asking.stop()
