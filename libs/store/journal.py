"""The journal: state, events and the recorded answer are saved together or not at all (G1, G3, G4).

Here is which commits wait, and with whom they are saved. What a commit is lives in `commit`, the transaction
in `transactions`, reads of the log in `log`, what is still to be sent in `outbox`.

Commits that wait at the same time share one transaction. That keeps the promise of each (none is answered
before its transaction is on disk) and makes many cost little more than one. If a shared transaction fails,
each of its commits is tried alone, so one cannot fail another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from libs.contracts.envelope import MAX_EVENT_BYTES, Fact
from libs.errors import Refusal
from libs.store.commit import AlreadyAnswered, Commit, EventTooLarge, RecordedReply, StateChanged
from libs.store.database import Database, DatabaseUnavailable, Documents, Index
from libs.store.log import Log
from libs.store.outbox import Outbox
from libs.store.transactions import Transactions
from libs.telemetry import SpanKind, current_traceparent, span

logger = logging.getLogger(__name__)

# How long a repeated request gets the first answer. Longer than any retry, redelivery or replay.
REPLIES_KEPT = timedelta(days=7)
MAX_BATCH = 64
# Revisions that this process remembers having written, and for how long it goes by them. After that another
# replica, or the database itself, may have removed the document and made it anew.
MAX_REVISIONS = 20_000
REMEMBERED_S = 2.0


class Journal:
    """Writes commits of one service and keeps its log. Create and `start` it inside a running loop."""

    INDEXES: ClassVar = {
        # Ranges of one stream. A server would take them from the key alone; the embedded database reads the
        # whole collection for a range of keys.
        "journal": Index(("_id",)),
        "replies": Index(("at",), across=True, expire_after_seconds=int(REPLIES_KEPT.total_seconds())),
    }

    def __init__(self, database: Database, service: str, process: str = "") -> None:
        self.service = service
        self.database = database
        self._log = Log(database)
        self._outbox = Outbox(database)
        self._transactions = Transactions(database, service, process or service, self._log, self._outbox)
        # Told of every committed fact, right after the commit. The relay listens.
        self.on_commit: Callable[[list[Fact]], None] = lambda facts: None
        self._waiting: asyncio.Queue[tuple[Commit, asyncio.Future[None]]] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._held: list[tuple[Commit, asyncio.Future[None]]] = []
        # Newest revisions that this process wrote, so that a decision on an older one costs no transaction.
        self._revisions: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    async def start(self, kinds: Sequence[Documents[Any]]) -> None:
        await self.database.ensure(kinds)
        existing = set(await self.database.client.get_database(self._name()).list_collection_names())
        for name in ("journal", "heads", "outbox", "replies", "writers"):
            if name not in existing:
                await self.database.client.get_database(self._name()).create_collection(name)
        for name, index in self.INDEXES.items():
            await self.database.collection(name).create_indexes([index.model()])
        await self._transactions.start()
        self._writer = asyncio.create_task(self._write(), name="journal")

    def _name(self) -> str:
        return self.database.collection("journal").database.name

    async def stop(self) -> None:
        if self._writer:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    async def commit(self, commit: Commit) -> None:
        """Returns once the commit is on disk; `reached` and `facts` are then filled in.

        Raises StateChanged, AlreadyAnswered, WriteContention or DatabaseUnavailable; in each case nothing
        of this commit was saved (after a lost connection: if it was, the next try is AlreadyAnswered).
        """
        for event in commit.events:
            if len(event.model_dump_json()) > MAX_EVENT_BYTES // 2:
                raise EventTooLarge(event.message)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with span(
            "journal.commit",
            SpanKind.CLIENT,
            {
                "db.system.name": "mongodb",
                "db.operation.name": "transaction",
                "mes.changes": len(commit.changes),
                "mes.events": len(commit.events),
            },
        ):
            commit.traceparent = current_traceparent()
            self._waiting.put_nowait((commit, done))
            await done

    async def recorded(self, request: str) -> RecordedReply | None:
        """What that request was answered, if it was."""
        return await self._log.recorded(request)

    async def facts_after(self, org: str, after: int, limit: int) -> list[Fact]:
        """The log of one organization, oldest first."""
        return await self._log.facts_after(org, after, limit)

    async def heads(self, orgs: Sequence[str]) -> dict[str, int]:
        """The newest sequence of each, on disk."""
        return await self._log.heads(orgs)

    def known_head(self, org: str) -> int | None:
        """A committed sequence of the stream, the newest when no other replica has written since."""
        return self._transactions.known_head(org)

    async def unsent(self, older_than: timedelta, limit: int = 100) -> list[Fact]:
        """Facts that lie in the outbox for longer than that."""
        return await self._outbox.unsent(older_than, limit)

    async def mark_sent(self, facts: Sequence[Fact]) -> None:
        await self._outbox.mark_sent(facts)

    async def _write(self) -> None:
        while True:
            batch = await self._next_batch()
            try:
                await self._save(batch)
            except asyncio.CancelledError:
                for _, done in [*batch, *self._held]:
                    _fail(done, DatabaseUnavailable("stopping"))
                raise
            except Exception:
                logger.exception("the journal could not save a batch of %d", len(batch))
                for _, done in batch:
                    _fail(done, DatabaseUnavailable("unexpected"))

    async def _next_batch(self) -> list[tuple[Commit, asyncio.Future[None]]]:
        """Everything that waits now, except a second commit on the same document: it must see the first."""
        waiting = self._held or [await self._waiting.get()]
        while len(waiting) < MAX_BATCH and not self._waiting.empty():
            waiting.append(self._waiting.get_nowait())
        batch: list[tuple[Commit, asyncio.Future[None]]] = []
        held: list[tuple[Commit, asyncio.Future[None]]] = []
        taken: set[tuple[str, str]] = set()
        for commit, done in waiting:
            if done.done():
                continue
            keys = commit.keys()
            if self._is_outdated(commit):
                _fail(done, StateChanged("a newer revision was written here"))
            elif taken & keys:
                held.append((commit, done))
            else:
                taken |= keys
                batch.append((commit, done))
        self._held = held
        return batch

    def _is_outdated(self, commit: Commit) -> bool:
        oldest = time.monotonic() - REMEMBERED_S
        for change in commit.changes:
            key = (change.documents.name, f"{change.org or commit.org}/{change.id}")
            revision, at = self._revisions.get(key, (0, 0.0))
            if change.expected < revision and at > oldest:
                return True
        return False

    def _remember(self, commits: list[Commit]) -> None:
        now = time.monotonic()
        for commit in commits:
            for change in commit.changes:
                key = (change.documents.name, f"{change.org or commit.org}/{change.id}")
                # What was deleted may be made anew, from nothing.
                self._revisions[key] = (change.expected + 1 if change.state is not None else 0, now)
                self._revisions.move_to_end(key)
        while len(self._revisions) > MAX_REVISIONS:
            self._revisions.popitem(last=False)

    async def _save(self, batch: list[tuple[Commit, asyncio.Future[None]]]) -> None:
        if not batch:
            return
        try:
            await self._transactions.save([commit for commit, _ in batch])
        except (StateChanged, AlreadyAnswered, Refusal) as error:
            if len(batch) == 1:
                _fail(batch[0][1], error)
                return
            for one in batch:
                await self._save([one])
            return
        self._remember([commit for commit, _ in batch])
        self.on_commit([fact for commit, _ in batch for fact in commit.facts])
        for _, done in batch:
            if not done.done():
                done.set_result(None)


def _fail(done: asyncio.Future[None], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
