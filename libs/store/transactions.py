"""A batch of commits in one transaction: numbered, written, retried. What is a batch, `journal` decides."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

from bson import Binary
from motor.motor_asyncio import AsyncIOMotorClientSession
from pymongo import DeleteOne, InsertOne, ReplaceOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from libs.contracts.base import Event
from libs.contracts.envelope import Fact
from libs.errors import WriteContention
from libs.store.commit import AlreadyAnswered, Commit, StateChanged
from libs.store.database import DURABLE, Database, DatabaseUnavailable
from libs.store.log import Log, rows_of
from libs.store.outbox import Outbox, Parcels

logger = logging.getLogger(__name__)

TRIES = 8


class _HeadMoved(Exception):
    """Another replica allocated sequences meanwhile."""


class Transactions:
    """Saves commits in the name of one process. `start` comes first."""

    def __init__(self, database: Database, service: str, process: str, log: Log, outbox: Outbox) -> None:
        self._database = database
        self._service = service
        self._process = process
        self._log = log
        self._outbox = outbox
        self._session: AsyncIOMotorClientSession | None = None
        # Heads as this process left them; forgotten whenever a transaction fails.
        self._heads: dict[str, int] = {}

    def known_head(self, org: str) -> int | None:
        """A committed sequence of the stream, the newest when no other replica has written since."""
        return self._heads.get(org)

    async def start(self) -> None:
        """Ends the transaction that this process may have left open when it was killed. The database would
        keep it for a minute, and with it lock every organization that it wrote to."""
        self._session = await self._database.client.start_session()
        own: Any = self._session.session_id
        writers = self._database.collection("writers")
        before = await writers.find_one({"_id": self._process})
        if before:
            try:
                await writers.database.command({"killSessions": [{"id": before["session"]}]})
            except PyMongoError as error:
                logger.warning("a predecessor's transaction may stay open for a while: %r", error)
        await writers.replace_one({"_id": self._process}, {"session": own["id"]}, upsert=True)

    async def save(self, commits: list[Commit]) -> None:
        assert self._session, "not started"
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(random.uniform(0.2, 1.0) * 0.01 * 2**attempt)
            try:
                async with self._session.start_transaction(write_concern=DURABLE):
                    parcels = await self._apply(commits, self._session)
                self._outbox.committed(parcels)
                self._move_heads(commits)
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
                    recorded = await self._log.recorded(commits[0].request)
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

    def _move_heads(self, commits: list[Commit]) -> None:
        for commit in commits:
            for org in commit.reached:
                self._heads[org] = max(self._heads.get(org, 0), commit.reached[org])

    async def _apply(self, commits: list[Commit], session: Any) -> Parcels:
        """Writes everything; answers what this put into the outbox."""
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
            rows += rows_of(facts)
        if replies:
            # First, so that a repeated request is recognised before it looks like a conflict of state.
            await self._database.collection("replies").insert_many(
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
            result = await self._database.collection(name).bulk_write([w for w, _ in writes], session=session)
            replaced = sum(kind == "replace" for _, kind in writes)
            deleted = sum(kind == "delete" for _, kind in writes)
            if result.matched_count != replaced or result.deleted_count != deleted:
                raise StateChanged(name)
        if not rows:
            return {}
        await self._database.collection("journal").insert_many(rows, session=session)
        return await self._outbox.put(rows, session)

    async def _allocate(self, by_org: dict[str, list[tuple[Commit, Event]]], session: Any) -> dict[str, int]:
        """The first sequence for each organization. Guarded by what the head was: another replica that was
        quicker makes this transaction start over, and so no number is skipped or used twice."""
        if not by_org:
            return {}
        collection = self._database.collection("heads")
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
            service=self._service,
            org=org,
            sequence=sequence,
            # A refused attempt is recorded in the stream of whichever service refused it.
            type=f"{self._service}.{message}" if owner == "audit" else event.message,
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
