"""What was sent and what was acknowledged: one side of the comparison. The other side is in `records`."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# What a write does, told apart from every other: ("app", org, slug), ("version", org, app, version), …
Effect = tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    version: str | None


@dataclass
class Write:
    """One request under one key, repeated until it was answered."""

    key: str
    effect: Effect
    path: str
    body: dict[str, Any]
    # Its status when done. A refusal is an answer too, and has an effect: a fact that tells of the attempt.
    status: int = 201
    file: bytes | None = None
    after: str = ""
    attempts: int = 0
    answer: Answer | None = None
    repeats: int = 0


@dataclass
class Ledger:
    writes: list[Write] = field(default_factory=list)
    acknowledged: list[Write] = field(default_factory=list)
    # Answers that no client should ever get.
    surprises: list[str] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    _grew: asyncio.Event = field(default_factory=asyncio.Event)

    def sent(self, write: Write) -> None:
        self.writes.append(write)

    def answered(self, write: Write, answer: Answer) -> None:
        write.answer = answer
        self.acknowledged.append(write)
        self._grew.set()

    def surprise(self, what: str) -> None:
        self.surprises.append(what)

    async def grows(self, by: int, timeout: float) -> None:
        """Waits until so many more writes were acknowledged."""
        wanted = len(self.acknowledged) + by
        async with asyncio.timeout(timeout):
            while len(self.acknowledged) < wanted:
                self._grew.clear()
                await self._grew.wait()
