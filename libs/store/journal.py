"""Commits: state, events with their sequences and the recorded answer, together or not at all (G1, G3, G4).

Commits that wait at the same time share one transaction. That keeps the promise of each (none is answered
before its transaction is on disk) and makes many cost little more than one. If a shared transaction fails,
each of its commits is tried alone, so one cannot fail another.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson
from bson import Binary, ObjectId
from motor.motor_asyncio import AsyncIOMotorClientSession
from pymongo import DeleteOne, InsertOne, ReplaceOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from libs.contracts.base import Event
from libs.contracts.envelope import MAX_EVENT_BYTES, Fact
from libs.errors import Refusal, TooLarge, WriteContention
from libs.store.database import DURABLE, Change, Database, DatabaseUnavailable, Documents, Index
from libs.telemetry import SpanKind, current_traceparent, span

logger = logging.getLogger(__name__)

# How long a repeated request gets the first answer. Longer than any retry, redelivery or replay.
REPLIES_KEPT = timedelta(days=7)
MAX_BATCH = 64
# Facts in one row of the journal.
MAX_ROW = 64
TRIES = 8
# Revisions that this process remembers having written.
MAX_REVISIONS = 20_000


@dataclass(frozen=True)
class Author:
    """Who caused a commit, from where, in which request."""

    subject: str
    name: str = ""
    address: str | None = None
    agent: str | None = None
    session: str | None = None
    request: str | None = None
    causation: str | None = None


@dataclass(frozen=True)
class RecordedReply:
    """What was answered to a request id, and the sequences it reached."""

    fingerprint: str
    ok: bool
    body: bytes
    reached: dict[str, int]


@dataclass
class Commit:
    """What one request wants saved. `org` is the tenant of changes and events that name none."""

    org: str
    changes: Sequence[Change]
    events: Sequence[Event]
    author: Author
    # The record under which a repeated request gets the same answer; None where nobody can repeat it.
    request: str | None = None
    fingerprint: str = ""
    ok: bool = True
    reply: bytes = b"null"
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    traceparent: str | None = None
    reached: dict[str, int] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)

    def keys(self) -> set[tuple[str, str]]:
        return {(c.documents.name, f"{c.org or self.org}/{c.id}") for c in self.changes}


class EventTooLarge(TooLarge):
    """What would be told of this change is larger than an event may be."""


class StateChanged(Exception):
    """What the decision was based on is no longer so: load and decide again."""


class _HeadMoved(Exception):
    """Another replica allocated sequences meanwhile."""


class AlreadyAnswered(Exception):
    """This request id has been answered; nothing was done now."""

    def __init__(self, recorded: RecordedReply) -> None:
        super().__init__()
        self.recorded = recorded


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
        self._process = process or service
        self.database = database
        # Told of every committed fact, right after the commit. The relay listens.
        self.on_commit: Callable[[list[Fact]], None] = lambda facts: None
        self._waiting: asyncio.Queue[tuple[Commit, asyncio.Future[None]]] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._session: AsyncIOMotorClientSession | None = None
        self._held: list[tuple[Commit, asyncio.Future[None]]] = []
        # Heads as this process left them; forgotten whenever a transaction fails.
        self._heads: dict[str, int] = {}
        # What this process put into the outbox or swept up, with the rows that are not sent yet.
        self._parcels: dict[ObjectId, set[str]] = {}
        # Newest revisions that this process wrote, so that a decision on an older one costs no transaction.
        self._revisions: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def start(self, kinds: Sequence[Documents[Any]]) -> None:
        await self.database.ensure(kinds)
        existing = set(await self.database.client.get_database(self._name()).list_collection_names())
        for name in ("journal", "heads", "outbox", "replies", "writers"):
            if name not in existing:
                await self.database.client.get_database(self._name()).create_collection(name)
        for name, index in self.INDEXES.items():
            await self.database.collection(name).create_indexes([index.model()])
        await self._succeed()
        self._writer = asyncio.create_task(self._write(), name="journal")

    async def _succeed(self) -> None:
        """Ends the transaction that this process may have left open when it was killed. The database would
        keep it for a minute, and with it lock every organization that it wrote to."""
        self._session = await self.database.client.start_session()
        own: Any = self._session.session_id
        writers = self.database.collection("writers")
        before = await writers.find_one({"_id": self._process})
        if before:
            try:
                await writers.database.command({"killSessions": [{"id": before["session"]}]})
            except PyMongoError as error:
                logger.warning("a predecessor's transaction may stay open for a while: %r", error)
        await writers.replace_one({"_id": self._process}, {"session": own["id"]}, upsert=True)

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
        try:
            found = await self.database.collection("replies").find_one({"_id": request})
        except PyMongoError as error:
            raise DatabaseUnavailable(type(error).__name__) from error
        if found is None:
            return None
        return RecordedReply(found["fingerprint"], found["ok"], bytes(found["reply"]), found["reached"])

    async def facts_after(self, org: str, after: int, limit: int) -> list[Fact]:
        """The log of one organization, oldest first. Bounded by range: the embedded database pays for
        every row that matches, whatever the limit."""
        where = {"org": org, "_id": {"$gt": _row(org, after), "$lte": _row(org, after + limit + MAX_ROW)}}
        try:
            rows = await self.database.collection("journal").find(where).sort("_id", 1).to_list(None)
        except PyMongoError as error:
            raise DatabaseUnavailable(type(error).__name__) from error
        facts = [Fact.decode(bytes(body)) for row in rows for body in row["bodies"]]
        return [fact for fact in facts if fact.sequence > after][:limit]

    def known_head(self, org: str) -> int | None:
        """A committed sequence of the stream, the newest when no other replica has written since."""
        return self._heads.get(org)

    async def heads(self, orgs: Sequence[str]) -> dict[str, int]:
        try:
            rows = await self.database.collection("heads").find({"_id": {"$in": list(orgs)}}).to_list(None)
        except PyMongoError as error:
            raise DatabaseUnavailable(type(error).__name__) from error
        return {**dict.fromkeys(orgs, 0), **{row["_id"]: int(row["sequence"]) for row in rows}}

    # What the relay has still to send, and has sent.
    async def unsent(self, older_than: timedelta, limit: int = 100) -> list[Fact]:
        """Facts of parcels that lie in the outbox for longer than that, whichever process put them there."""
        before = ObjectId.from_datetime(datetime.now(UTC) - older_than)
        parcels = (
            await self.database.collection("outbox")
            .find({"_id": {"$lt": before}})
            .sort("_id", 1)
            .limit(limit)
            .to_list(None)
        )
        names = [name for parcel in parcels for name in parcel["rows"]]
        rows = await self.database.collection("journal").find({"_id": {"$in": names}}).to_list(None)
        for parcel in parcels:
            self._parcels[parcel["_id"]] = set(parcel["rows"])
        facts = [Fact.decode(bytes(body)) for row in rows for body in row["bodies"]]
        return sorted(facts, key=lambda fact: (fact.org, fact.sequence))

    async def mark_sent(self, facts: Sequence[Fact]) -> None:
        """A row is sent when the last of its facts is: whoever got that one sees a gap and fills it. A parcel
        whose rows are sent leaves the outbox."""
        sent = {_row(fact.org, fact.sequence) for fact in facts}
        done = []
        for parcel, rows in self._parcels.items():
            rows -= sent
            if not rows:
                done.append(parcel)
        if done:
            await self.database.collection("outbox").delete_many({"_id": {"$in": done}})
            for parcel in done:
                self._parcels.pop(parcel, None)

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
        return any(
            change.expected
            < self._revisions.get((change.documents.name, f"{change.org or commit.org}/{change.id}"), 0)
            for change in commit.changes
        )

    def _remember(self, commits: list[Commit]) -> None:
        for commit in commits:
            for org in commit.reached:
                self._heads[org] = max(self._heads.get(org, 0), commit.reached[org])
            for change in commit.changes:
                key = (change.documents.name, f"{change.org or commit.org}/{change.id}")
                # What was deleted may be made anew, from nothing.
                self._revisions[key] = change.expected + 1 if change.state is not None else 0
                self._revisions.move_to_end(key)
        while len(self._revisions) > MAX_REVISIONS:
            self._revisions.popitem(last=False)

    async def _save(self, batch: list[tuple[Commit, asyncio.Future[None]]]) -> None:
        if not batch:
            return
        try:
            await self._transact([commit for commit, _ in batch])
        except (StateChanged, AlreadyAnswered, Refusal) as error:
            if len(batch) == 1:
                _fail(batch[0][1], error)
                return
            for one in batch:
                await self._save([one])
            return
        self.on_commit([fact for commit, _ in batch for fact in commit.facts])
        for _, done in batch:
            if not done.done():
                done.set_result(None)

    async def _transact(self, commits: list[Commit]) -> None:
        assert self._session, "not started"
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(random.uniform(0.2, 1.0) * 0.01 * 2**attempt)
            try:
                async with self._session.start_transaction(write_concern=DURABLE):
                    parcels = await self._apply(commits, self._session)
                self._parcels |= parcels
                self._remember(commits)
                return
            except _HeadMoved:
                self._heads.clear()
                continue
            except StateChanged:
                self._heads.clear()
                raise
            except (DuplicateKeyError, BulkWriteError) as error:
                self._heads.clear()
                if not _is_duplicate(error):
                    if _is_transient(error):
                        continue
                    raise DatabaseUnavailable(str(error)) from error
                if len(commits) == 1 and commits[0].request:
                    recorded = await self.recorded(commits[0].request)
                    if recorded:
                        raise AlreadyAnswered(recorded) from None
                raise StateChanged from error
            except PyMongoError as error:
                self._heads.clear()
                # A lost connection may hide a commit that happened: the recorded reply tells at the next try.
                if not _is_transient(error):
                    raise DatabaseUnavailable(type(error).__name__) from error
                logger.info("transaction retried: %s", type(error).__name__)
        raise WriteContention(f"gave up after {TRIES} tries")

    async def _apply(self, commits: list[Commit], session: Any) -> dict[ObjectId, set[str]]:
        """Writes everything; answers what this put into the outbox."""
        parcels: dict[ObjectId, set[str]] = {}
        replies = [commit for commit in commits if commit.request]
        for commit in commits:
            commit.reached, commit.facts = {}, []
        by_org = _by_org(commits)
        rows: list[dict[str, Any]] = []
        for org, first in (await self._allocate(by_org, session)).items():
            facts = []
            for sequence, (commit, event) in enumerate(by_org[org], first):
                fact = self._fact(commit, event, org, sequence)
                commit.facts.append(fact)
                commit.reached[org] = sequence
                facts.append(fact)
            rows += [_journal_row(facts[at : at + MAX_ROW]) for at in range(0, len(facts), MAX_ROW)]
        if replies:
            # First, so that a repeated request is recognised before it looks like a conflict of state.
            await self.database.collection("replies").insert_many(
                [
                    {
                        "_id": commit.request,
                        "fingerprint": commit.fingerprint,
                        "ok": commit.ok,
                        "reply": Binary(commit.reply),
                        "reached": commit.reached,
                        "at": commit.now,
                    }
                    for commit in replies
                ],
                session=session,
            )
        for name, writes in _by_collection(commits).items():
            result = await self.database.collection(name).bulk_write([w for w, _ in writes], session=session)
            replaced = sum(kind == "replace" for _, kind in writes)
            deleted = sum(kind == "delete" for _, kind in writes)
            if result.matched_count != replaced or result.deleted_count != deleted:
                raise StateChanged(name)
        if rows:
            await self.database.collection("journal").insert_many(rows, session=session)
            # One for the whole transaction, so that taking it out again is cheap.
            parcel: dict[str, Any] = {"_id": ObjectId(), "rows": [row["_id"] for row in rows]}
            await self.database.collection("outbox").insert_one(parcel, session=session)
            parcels[parcel["_id"]] = set(parcel["rows"])
        return parcels

    async def _allocate(self, by_org: dict[str, list[tuple[Commit, Event]]], session: Any) -> dict[str, int]:
        """The first sequence for each organization. Guarded by what the head was: another replica that was
        quicker makes this transaction start over, and so no number is skipped or used twice."""
        if not by_org:
            return {}
        collection = self.database.collection("heads")
        unknown = [org for org in by_org if org not in self._heads]
        if unknown:
            found = await collection.find({"_id": {"$in": unknown}}, session=session).to_list(None)
            self._heads |= dict.fromkeys(unknown, 0) | {row["_id"]: int(row["sequence"]) for row in found}
        known = {org: self._heads[org] for org in by_org}
        writes: list[Any] = []
        for org, events in by_org.items():
            moved = {"_id": org, "sequence": known[org] + len(events)}
            where = {"_id": org, "sequence": known[org]}
            writes.append(ReplaceOne(where, moved) if known[org] else InsertOne(moved))
        result = await collection.bulk_write(writes, ordered=False, session=session)
        if result.matched_count + result.inserted_count != len(by_org):
            raise _HeadMoved
        return {org: head + 1 for org, head in known.items()}

    def _fact(self, commit: Commit, event: Event, org: str, sequence: int) -> Fact:
        owner, message = event.message.split(".")
        author = commit.author
        return Fact(
            service=self.service,
            org=org,
            sequence=sequence,
            # A refused attempt is recorded in the stream of whichever service refused it.
            type=f"{self.service}.{message}" if owner == "audit" else event.message,
            subject=event.resource(),
            time=commit.now,
            data=event.model_dump(mode="json"),
            topics=event.topics(),
            permission=event.permission,
            summary=event.summary(),
            actor=author.subject,
            actor_name=author.name,
            address=author.address,
            agent=author.agent,
            session=author.session,
            traceparent=commit.traceparent,
            request=author.request,
            causation=author.causation,
        )


def _row(org: str, sequence: int) -> str:
    return f"{org}:{sequence:020d}"


def _journal_row(facts: list[Fact]) -> dict[str, Any]:
    """Facts of one organization that were committed together, under the sequence of the last."""
    bodies = [fact.encode() for fact in facts]
    last = facts[-1]
    return {
        "_id": _row(last.org, last.sequence),
        "org": last.org,
        "bodies": [Binary(body) for body in bodies],
    }


def _by_org(commits: list[Commit]) -> dict[str, list[tuple[Commit, Event]]]:
    grouped: dict[str, list[tuple[Commit, Event]]] = {}
    for commit in commits:
        for event in commit.events:
            grouped.setdefault(event.tenant(), []).append((commit, event))
    return grouped


def _by_collection(commits: list[Commit]) -> dict[str, list[tuple[Any, str]]]:
    grouped: dict[str, list[tuple[Any, str]]] = {}
    for commit in commits:
        for change in commit.changes:
            org = change.org or commit.org
            where = {"_id": f"{org}/{change.id}", "org": org, "revision": change.expected}
            if change.state is None:
                write: tuple[Any, str] = (DeleteOne(where), "delete")
            elif change.expected == 0:
                write = (InsertOne(change.document(org)), "insert")
            else:
                write = (ReplaceOne(where, change.document(org)), "replace")
            grouped.setdefault(change.documents.name, []).append(write)
    return grouped


def _is_duplicate(error: DuplicateKeyError | BulkWriteError) -> bool:
    if isinstance(error, DuplicateKeyError):
        return True
    details = error.details or {}
    return any(failure.get("code") == 11000 for failure in details.get("writeErrors", []))


def _is_transient(error: PyMongoError) -> bool:
    return (
        error.has_error_label("TransientTransactionError")
        or error.has_error_label("UnknownTransactionCommitResult")
        or getattr(error, "code", None) in (112, 251)
    )


def _fail(done: asyncio.Future[None], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


def encode_reply(value: Any) -> bytes:
    """The recorded form of an answer."""
    if value is None:
        return b"null"
    if hasattr(value, "model_dump_json"):
        return bytes(value.model_dump_json().encode())
    return orjson.dumps(value)
