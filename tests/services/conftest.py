"""A real broker and database for all service tests, and services as the processes that they are."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import pytest

from deploy.local import LocalParts
from deploy.local.processes import base_environment

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 15.0


class Running:
    """One process of a service, which can be stopped or killed and started again. Its log is in `folder`.

    `env` adds to what every service is given, as in `{"MES_ADMIN_EMAIL": "…"}`.
    """

    def __init__(
        self, parts: LocalParts, service: str, folder: Path, env: Mapping[str, str], process: str = ""
    ) -> None:
        self.name = process or service
        self.folder = folder
        self._service = service
        self._ready = folder / self.name
        self._log = folder / f"{self.name}.log"
        self._env = {
            **base_environment(),
            "MES_AMQP_URL": parts.amqp_url(service),
            "MES_MONGO_URL": parts.mongo_url(service),
            "MES_PROCESS": self.name,
            "MES_READY_FILE": str(self._ready),
            **env,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process, "not started"
        return self._process

    def start(self) -> Self:
        self.begin()
        self.wait_ready()
        return self

    def begin(self) -> None:
        """Starts without waiting, so that several can start at once."""
        self._ready.unlink(missing_ok=True)
        argv = [sys.executable, "-m", f"services.{self._service}.main"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(argv, env=self._env, stdout=log, stderr=subprocess.STDOUT)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} is not ready:\n{self.log()[-4000:]}")
            time.sleep(0.05)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """As a crash: nothing is tidied up."""
        self.process.kill()
        self.process.wait()
        self._ready.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalParts]:
    with LocalParts(tmp_path_factory.mktemp("parts")) as started:
        yield started
