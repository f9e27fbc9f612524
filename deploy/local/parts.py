"""Broker and database together: what service tests need, and what the portal stands on."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from deploy import topology
from deploy.local import mongo, rabbitmq, rights, secrets
from deploy.local.folder import Folder
from deploy.local.ports import Ports
from deploy.local.progress import Progress, Silence
from deploy.local.supervisor import Supervisor

READY_WITHIN = 90.0  # seconds; 5 are usual, but a busy machine or a long journal to replay takes more


class LocalParts:
    """Private broker and database in a data folder. Start and stop by `with`, `async with` or by name.

    A URL that is given is used instead of starting that part.
    """

    def __init__(
        self,
        data: Path,
        *,
        amqp_url: str | None = None,
        mongo_url: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.folder = Folder(data)
        self.progress: Progress = progress or Silence()
        self._external_amqp, self._external_mongo = amqp_url, mongo_url
        self._supervisor: Supervisor | None = None
        self._broker: rabbitmq.Broker | None = None
        self._database: mongo.Database | None = None
        self._one_stop = threading.Lock()

    # ---- life ----

    def start(self) -> Self:
        """Return when everything is ready; leave nothing behind when it cannot be."""
        inherit = self.folder.lock(self._on_leftovers)
        try:
            self.ports = Ports(self.folder)
            self.secrets = secrets.load(self.folder, rights.USERS, mongo.USERS)
            logs = self.folder.subfolder("logs")
            self._supervisor = Supervisor(logs, inherit=[inherit], on_change=self._on_change)
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything that was started, in reverse order."""
        with self._one_stop:
            if self._supervisor:
                self._supervisor.stop()
                self._supervisor = None
                self.ports.release()
            self.folder.unlock()

    def hurry(self) -> None:
        """Make a stop that is under way, or comes, kill what does not end by itself. For signal handlers."""
        if self._supervisor:
            self._supervisor.hurry()

    def wait_ready(self, timeout: float = READY_WITHIN) -> None:
        """Return when every part answers, also after one was killed."""
        if self._broker:
            self._broker.wait_ready(self.supervisor, timeout)
        if self._database:
            self._database.wait_ready(self.supervisor, timeout)

    def kill(self, name: str) -> int:
        """Crash a child. Returns its old pid once it is gone; its successor is on its way by then."""
        return self.supervisor.kill(name)

    # ---- addresses ----

    @property
    def processes(self) -> dict[str, int]:
        """Name → pid of what runs now."""
        return self._supervisor.pids() if self._supervisor else {}

    @property
    def amqp_admin_url(self) -> str:
        return self.amqp_url(rights.OPERATOR)

    @property
    def mongo_admin_url(self) -> str:
        if self._external_mongo:
            return self._external_mongo
        assert self._database, "not started"
        return self._database.admin_url

    def amqp_url(self, service: str) -> str:
        """The broker, as that user."""
        if self._external_amqp:
            return self._external_amqp
        assert self._broker, "not started"
        return self._broker.url(service)

    def mongo_url(self, service: str) -> str:
        """That service's database, as its user."""
        if self._external_mongo:
            return with_database(self._external_mongo, service)
        assert self._database, "not started"
        return self._database.url(service)

    @property
    def supervisor(self) -> Supervisor:
        assert self._supervisor, "not started"
        return self._supervisor

    # ---- steps ----

    def _start(self) -> None:
        begun = time.monotonic()
        waiting = []
        # The broker takes longest, so it starts first and everything else happens meanwhile.
        if not self._external_amqp:
            self._broker = rabbitmq.Broker(self.folder, self.ports, self.secrets.broker)
            self._broker.start(self.supervisor, self.progress.note)
            waiting.append(rabbitmq.NAME)
        if not self._external_mongo:
            self._database = mongo.Database(
                self.folder, self.ports, self.secrets.database, self.secrets.cluster_key
            )
            self.progress.waiting([mongo.NAME, *waiting])
            self._database.start(self.supervisor)
            self._database.wait_ready(self.supervisor, READY_WITHIN)
            self.progress.ready(mongo.NAME, time.monotonic() - begun)
        if self._broker:
            self.progress.waiting(waiting)
            self._broker.wait_ready(self.supervisor, READY_WITHIN)
            self.progress.ready(rabbitmq.NAME, time.monotonic() - begun)
        _run_apart(topology.declare(self.amqp_admin_url))

    def _on_leftovers(self) -> None:
        self._forget_earlier_run()
        self.progress.note("waiting for an earlier run to end")

    def _forget_earlier_run(self) -> None:
        """Remove what tells of a run that is over. Called when the folder is ours."""

    def _on_change(self, pids: dict[str, int]) -> None:
        """A child began or ended. Called by the supervisor's thread."""

    # ---- with ----

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)


def with_database(url: str, database: str) -> str:
    """The same server and user, another database."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.username and "authSource" not in query:
        # Without it the driver would look for the user in the database that we are about to name.
        query["authSource"] = parts.path.strip("/") or "admin"
    return parts._replace(path=f"/{database}", query=urlencode(query)).geturl()


def _run_apart(work: Coroutine[object, object, None]) -> None:
    """Run a coroutine from plain code, also where this thread already has a loop (a test's fixture)."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, work).result()
