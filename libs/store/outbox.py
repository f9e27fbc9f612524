"""What the relay has still to send, and has sent. Sending itself is `libs.bus.relay`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from libs.contracts.envelope import Fact
from libs.store.database import Database
from libs.store.log import row_name

# Names of journal rows that are not sent yet, by the parcel that they are in.
Parcels = dict[ObjectId, set[str]]


class Outbox:
    """Parcels: one for each transaction that told of something, until its rows are sent."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # What this process put into the outbox or swept up, with the rows that are not sent yet.
        self._parcels: Parcels = {}

    async def put(self, rows: list[dict[str, Any]], session: Any) -> Parcels:
        """Within a transaction; `committed` is to be told of the answer once that is on disk."""
        # One for the whole transaction, so that taking it out again is cheap.
        parcel: dict[str, Any] = {"_id": ObjectId(), "rows": [row["_id"] for row in rows]}
        await self._database.collection("outbox").insert_one(parcel, session=session)
        return {parcel["_id"]: set(parcel["rows"])}

    def committed(self, parcels: Parcels) -> None:
        self._parcels |= parcels

    async def unsent(self, older_than: timedelta, limit: int = 100) -> list[Fact]:
        """Facts of parcels that lie in the outbox for longer than that, whichever process put them there."""
        before = ObjectId.from_datetime(datetime.now(UTC) - older_than)
        parcels = (
            await self._database.collection("outbox")
            .find({"_id": {"$lt": before}})
            .sort("_id", 1)
            .limit(limit)
            .to_list(None)
        )
        names = [name for parcel in parcels for name in parcel["rows"]]
        rows = await self._database.collection("journal").find({"_id": {"$in": names}}).to_list(None)
        for parcel in parcels:
            self._parcels[parcel["_id"]] = set(parcel["rows"])
        facts = [Fact.decode(bytes(body)) for row in rows for body in row["bodies"]]
        return sorted(facts, key=lambda fact: (fact.org, fact.sequence))

    async def mark_sent(self, facts: Sequence[Fact]) -> None:
        """A row is sent when the last of its facts is: whoever got that one sees a gap and fills it. A parcel
        whose rows are sent leaves the outbox."""
        sent = {row_name(fact.org, fact.sequence) for fact in facts}
        done = []
        for parcel, rows in self._parcels.items():
            rows -= sent
            if not rows:
                done.append(parcel)
        if done:
            await self._database.collection("outbox").delete_many({"_id": {"$in": done}})
            for parcel in done:
                self._parcels.pop(parcel, None)
