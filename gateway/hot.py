"""The short way of reads that were just answered: same address, same token, answer still fresh.

Everything that made the first answer right is checked again, from memory: the token's life, the session,
the rights (by the directory's epoch), the answer's freshness.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from gateway.directory import Directory
from libs.live.answers import Answer
from libs.live.engine import Engine

MAX_ENTRIES = 20_000
Key = tuple[str, bytes, bytes]


@dataclass(frozen=True)
class HotRead:
    answer: Answer
    etag: bytes
    answer_etag: str
    headers: list[tuple[bytes, bytes]]
    epoch: int
    expires_at: float
    route: str


class HotReads:
    def __init__(self, engine: Engine, directory: Directory) -> None:
        self._engine = engine
        self._directory = directory
        self._entries: OrderedDict[Key, HotRead] = OrderedDict()

    def get(self, key: Key) -> HotRead | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        answer = entry.answer
        if (
            entry.epoch != self._directory.epoch
            or entry.expires_at <= time.time()
            or entry.answer_etag != answer.etag
            or not self._engine.is_fresh(answer)
        ):
            del self._entries[key]
            return None
        return entry

    def put(self, key: Key, entry: HotRead) -> None:
        self._entries[key] = entry
        if len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    @property
    def epoch(self) -> int:
        return self._directory.epoch
