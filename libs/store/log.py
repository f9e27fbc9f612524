"""The log of one service as it is read: facts, heads, recorded answers. Written by `transactions` alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import Binary
from pymongo.errors import PyMongoError

from libs.contracts.envelope import Fact
from libs.store.commit import RecordedReply
from libs.store.database import Database, DatabaseUnavailable

# Facts in one row of the journal.
MAX_ROW = 64


class Log:
    """Reads of what was committed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recorded(self, request: str) -> RecordedReply | None:
        try:
            found = await self._database.collection("replies").find_one({"_id": request})
        except PyMongoError as error:
            raise DatabaseUnavailable(type(error).__name__) from error
        if found is None:
            return None
        return RecordedReply(found["fingerprint"], found["ok"], bytes(found["reply"]), found["reached"])

    async def facts_after(self, org: str, after: int, limit: int) -> list[Fact]:
        """The log of one organization, oldest first. Bounded by range: the embedded database pays for
        every row that matches, whatever the limit."""
        where = {
            "org": org,
            "_id": {"$gt": row_name(org, after), "$lte": row_name(org, after + limit + MAX_ROW)},
        }
        try:
            rows = await self._database.collection("journal").find(where).sort("_id", 1).to_list(None)
        except PyMongoError as error:
            raise DatabaseUnavailable(type(error).__name__) from error
        facts = [Fact.decode(bytes(body)) for row in rows for body in row["bodies"]]
        return [fact for fact in facts if fact.sequence > after][:limit]

    async def heads(self, orgs: Sequence[str]) -> dict[str, int]:
        try:
            rows = await self._database.collection("heads").find({"_id": {"$in": list(orgs)}}).to_list(None)
        except PyMongoError as error:
            raise DatabaseUnavailable(type(error).__name__) from error
        return {**dict.fromkeys(orgs, 0), **{row["_id"]: int(row["sequence"]) for row in rows}}


def rows_of(facts: list[Fact]) -> list[dict[str, Any]]:
    """The rows of facts that one organization got in one transaction."""
    return [_journal_row(facts[at : at + MAX_ROW]) for at in range(0, len(facts), MAX_ROW)]


def row_name(org: str, sequence: int) -> str:
    return f"{org}:{sequence:020d}"


def _journal_row(facts: list[Fact]) -> dict[str, Any]:
    """Facts of one organization that were committed together, under the sequence of the last."""
    bodies = [fact.encode() for fact in facts]
    last = facts[-1]
    return {
        "_id": row_name(last.org, last.sequence),
        "org": last.org,
        "bodies": [Binary(body) for body in bodies],
    }
