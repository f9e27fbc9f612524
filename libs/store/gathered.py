"""Reads of single documents that wait at the same time share one query.

A command begins with such a read, and under load many wait for the database at once. Nothing waits for
company: a read that comes alone is sent at once. Each sees everything that was committed before it was asked
for, because the query that answers it begins later.
"""

from __future__ import annotations

import asyncio
from typing import Any

from motor.motor_asyncio import AsyncIOMotorCollection

Document = dict[str, Any]

# The embedded database compares each row with each key: more than this takes longer than several queries.
MOST = 32


class GatheredReads:
    """Documents of one collection by `_id`. Create it inside a running loop."""

    def __init__(self, collection: AsyncIOMotorCollection[Document]) -> None:
        self._collection = collection
        self._waiting: list[tuple[str, asyncio.Future[Document | None]]] = []
        self._reader: asyncio.Task[None] | None = None

    async def get(self, key: str) -> Document | None:
        """Raises the driver's errors."""
        answer: asyncio.Future[Document | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answer))
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        return await answer

    async def _read(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                try:
                    found = await self._find({key for key, _ in batch})
                except Exception as error:
                    for _, answer in batch:
                        if not answer.done():
                            answer.set_exception(error)
                else:
                    for key, answer in batch:
                        if not answer.done():
                            answer.set_result(found.get(key))
        finally:
            self._reader = None
            for _, answer in self._waiting:
                answer.cancel()
            self._waiting = []

    async def _find(self, keys: set[str]) -> dict[str, Document]:
        if len(keys) == 1:
            [key] = keys
            document = await self._collection.find_one({"_id": key})
            return {key: document} if document else {}
        documents = await self._collection.find({"_id": {"$in": list(keys)}}).to_list(None)
        return {document["_id"]: document for document in documents}
