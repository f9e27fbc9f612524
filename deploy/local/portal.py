"""The whole portal on one machine: broker, database, services and gateways, in a data folder."""

import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import httpx

from deploy.local import processes
from deploy.local.failures import CannotStart
from deploy.local.parts import LocalParts
from deploy.local.ports import is_free
from deploy.local.processes import Commands, Process
from deploy.local.progress import Progress
from deploy.local.rights import GATEWAY
from deploy.local.secrets import Administrator
from deploy.local.supervisor import Program
from deploy.local.waiting import wait_until

HOST = "127.0.0.1"
READY_WITHIN = 90.0
SERVICE_STAGE, GATEWAY_STAGE, DEMO_STAGE = 2, 3, 4
RUN_FILE, DEMO_DONE = "run.json", "demo.done"


class LocalPortal(LocalParts):
    """A running portal. Port 0 chooses a free one and remembers it in the data folder."""

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        replicas: Mapping[str, int] | None = None,
        demo: bool = False,
        env: Mapping[str, str] | None = None,
        commands: Commands | None = None,
        amqp_url: str | None = None,
        mongo_url: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(data, amqp_url=amqp_url, mongo_url=mongo_url, progress=progress)
        self._port = port
        self._processes = processes.processes(replicas or {})
        self._demo = demo
        self._env = dict(env or {})
        self._commands = commands or processes.commands()
        self._direct_ports: dict[str, int] = {}
        self._telling = threading.Lock()
        self._told: dict[str, int] | None = None  # the pids in run.json; None while there is no such file

    # ---- what runs ----

    @property
    def url(self) -> str:
        """The public address, which all gateways share."""
        return f"http://{HOST}:{self._port}"

    @property
    def gateways(self) -> list[str]:
        """The address of each gateway by itself."""
        return [f"http://{HOST}:{port}" for port in self._direct_ports.values()]

    @property
    def admin(self) -> Administrator:
        return self.secrets.admin

    def wait_ready(self, timeout: float = READY_WITHIN) -> None:
        """Return when every part answers, also after one was killed."""
        super().wait_ready(timeout)
        begun = time.monotonic()
        waiting = list(self._processes)
        while waiting:
            self.progress.waiting([process.name for process in waiting])
            process = waiting.pop(0)
            wait_until(partial(self._is_ready, process), self.supervisor, process.name, timeout)
            self.progress.ready(process.name, time.monotonic() - begun)
        for url in [*self.gateways, self.url]:
            self.progress.waiting([f"{url}/readyz"])
            wait_until(partial(_answers_ready, url), self.supervisor, GATEWAY, timeout)

    def stop(self) -> None:
        """End everything, gateways first, so that nobody asks a service that has gone."""
        with self._telling:
            self._told = None
            if self.folder.is_ours:  # otherwise it tells of the launcher because of which we cannot start
                (self.folder.path / RUN_FILE).unlink(missing_ok=True)
        super().stop()

    # ---- steps ----

    def _start(self) -> None:
        self._forget_earlier_run()
        if not self._port:
            self._port = self.ports.take("public")
        elif not is_free(self._port):
            raise CannotStart(
                f"Port {self._port} is taken by another program.", "Choose one: MES_PORT=8090 make run"
            )
        for folder in ("ready", "objects", "traces"):
            self.folder.subfolder(folder)
        super()._start()
        for process in self._processes:
            self.supervisor.start(self._program(process))
        self.wait_ready()
        if self._database and self._database.settle(self.supervisor, READY_WITHIN):
            self.wait_ready()
        with self._telling:
            self._tell(self.supervisor.pids())
        if self._demo:
            self._run_demo()

    def _forget_earlier_run(self) -> None:
        # A launcher that was killed could not remove it, and whoever waits for it would look too early.
        (self.folder.path / RUN_FILE).unlink(missing_ok=True)

    def _program(self, process: Process) -> Program:
        data = self.folder.path
        env = processes.environment(process, data, self.amqp_url(process.kind)) | self._env
        if process.kind == GATEWAY:
            self._direct_ports[process.name] = self.ports.take(f"{process.name} direct")
            env["MES_HOST"] = HOST
            env["MES_PORT"] = str(self._port)
            env["MES_DIRECT_PORT"] = str(self._direct_ports[process.name])
        else:
            env["MES_MONGO_URL"] = self.mongo_url(process.kind)
        if process.kind in (GATEWAY, processes.IDENTITY):
            env.setdefault("MES_ISSUER", self.url)
        if process.kind == processes.IDENTITY:
            env["MES_ADMIN_EMAIL"] = self.admin.email
            env["MES_ADMIN_PASSWORD"] = self.admin.password
            # By name: browsers keep passkeys for no bare number.
            env.setdefault("MES_PUBLIC_URL", f"http://localhost:{self._port}")
            if "MES_SMTP_HOST" not in env:
                env.setdefault("MES_MAIL_FOLDER", str(data / "mail"))
        return Program(
            process.name,
            self._commands[process.kind],
            env,
            stage=GATEWAY_STAGE if process.kind == GATEWAY else SERVICE_STAGE,
            grace=15.0,
            ready_file=process.ready_file(data),
        )

    def _is_ready(self, process: Process) -> bool:
        # The pid tells this life's file from one that an earlier life could not remove.
        try:
            written = process.ready_file(self.folder.path).read_text().strip()
        except FileNotFoundError:
            return False
        return written == str(self.processes.get(process.name))

    def _run_demo(self) -> None:
        marker = self.folder.path / DEMO_DONE
        if marker.exists():
            return
        self.progress.waiting([])
        self.progress.note("filling the empty store with a demo (MES_DEMO=0 leaves it empty)")
        argv = [sys.executable, "-m", "clients.cli.main", "demo", "--url", self.url]
        argv += ["--email", self.admin.email, "--password-env", "MES_ADMIN_PASSWORD"]
        env = processes.base_environment() | {"MES_ADMIN_PASSWORD": self.admin.password}
        code = self.supervisor.run(
            Program("demo", argv, env, stage=DEMO_STAGE, restart=False, own_log=False, grace=2.0)
        )
        if code == 0:
            marker.touch()
        elif self._told is not None:  # a stop in the middle of it is not the demo's failure
            self.progress.note(
                f"the demo ended with {code}; the portal runs on, and the next start tries again"
            )

    def _on_change(self, pids: dict[str, int]) -> None:
        with self._telling:
            if self._told is None:
                return
            for name, pid in self._told.items():
                if pids.get(name) not in (pid, None):
                    self.progress.note(
                        f"{name} had ended and was started again: {self.supervisor.log_of(name)}"
                    )
            self._tell({**self._told, **{name: pid for name, pid in pids.items() if name in self._told}})

    def _tell(self, pids: dict[str, int]) -> None:
        """Write run.json: what runs where, for command lines, tests and benchmarks."""
        if pids == self._told:
            return
        self._told = pids
        self.folder.write_json(
            RUN_FILE,
            {
                "url": self.url,
                "admin": {"email": self.admin.email, "password": self.admin.password},
                "gateways": self.gateways,
                "processes": pids,
            },
        )


def _answers_ready(url: str) -> bool:
    try:
        # Not through a proxy that the environment may name: this is our own machine.
        return httpx.get(f"{url}/readyz", timeout=3, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
