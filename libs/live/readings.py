"""Readings of answers, each under way once, and whether what was read can still be vouched for.

Reads never wait for pictures here, and what changes is told to them: see `pictures`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from libs.bus.rpc import Asker
from libs.contracts.base import service_caller
from libs.contracts.envelope import Position, Stream
from libs.live.answers import Answer
from libs.live.streams import Streams


class _Reading(NamedTuple):
    """One answer's reading under way, and what was known when it began."""

    promises: int
    touched_at: int
    task: asyncio.Task[None]


class Readings:
    """Asks the owners of answers. `on_changed` is told of each watched answer that now reads differently."""

    def __init__(self, asker: Asker, streams: Streams) -> None:
        self.on_changed: Callable[[Answer], None] = lambda answer: None
        # What is under way.
        self.running: dict[Answer, _Reading] = {}
        self._asker = asker
        self._caller = service_caller("gateway")
        self._streams = streams
        # Versions that this process promised to a writer; a cached answer must be at or past them.
        self._promised: dict[Stream, int] = {}
        self._promises = 0
        self._last_promise: dict[Stream, int] = {}

    def promise(self, positions: Iterable[Position]) -> None:
        """A writer was told these versions: no older answer is given here from now on."""
        for position in positions:
            if position.sequence > self._promised.get(position.stream, -1):
                self._promised[position.stream] = position.sequence
                self._promises += 1
                self._last_promise[position.stream] = self._promises

    def is_fresh(self, answer: Answer, after: Iterable[Position] = ()) -> bool:
        """True if no event that this process knows of, and no version promised, is past the answer."""
        if answer.stale or answer.failed or self._streams.touched_at(answer) > answer.read_at:
            return False
        stream = answer.stream
        followed = self._streams.get(stream)
        known = max(answer.read_at, followed.heard if followed else -1)
        if self._promised.get(stream, -1) > known:
            return False
        return all(
            position.sequence <= (known if position.stream == stream else answer.saw.get(position.stream, -1))
            for position in after
        )

    def holds_at(self, answer: Answer) -> int:
        """The newest sequence of its stream at which an answer is known to be right."""
        followed = self._streams.get(answer.stream)
        if followed is None or answer.stale or self._streams.touched_at(answer) > answer.read_at:
            return answer.read_at
        return max(answer.read_at, followed.heard)

    async def once(self, answer: Answer, after: tuple[Position, ...]) -> None:
        """Single flight, unless a reading that is under way may be too old for this caller.

        In a task of its own: the one who asked first may leave, and the others still wait."""
        reading = self.running.get(answer)
        if (
            reading is None
            or after
            or reading.promises < self._last_promise.get(answer.stream, 0)
            or reading.touched_at < self._streams.touched_at(answer)
        ):
            task = asyncio.create_task(self.load([answer], after))
            reading = _Reading(self._promises, self._streams.touched_at(answer), task)
            self.running[answer] = reading
            task.add_done_callback(lambda done: self._read_ended(answer, done))
        await asyncio.shield(reading.task)

    def _read_ended(self, answer: Answer, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # whoever waits gets it; nobody may be left
        reading = self.running.get(answer)
        if reading and reading.task is task:
            del self.running[answer]

    async def load(self, answers: list[Answer], after: tuple[Position, ...] = ()) -> None:
        """Reads answers of one stream in one snapshot."""
        stream = answers[0].stream
        doubts = self._streams.doubts
        snapshot = await self._asker.read(
            stream.service, stream.org, tuple(answer.named for answer in answers), self._caller, after
        )
        followed = self._streams.get(stream)
        if followed is None:
            # The queue was bound before this reading: whatever comes later will arrive. The newest commit
            # that was read may not be on the disk yet (it is told only then), so a picture waits to be told
            # of it: a database that dies in this moment must not take a client back in time.
            followed = self._streams.start_at(stream, max(snapshot.sequence - 1, 0))
        # Between the snapshot and the first fact heard there may be facts that nobody here has heard.
        heard_all_since = doubts == self._streams.doubts and snapshot.sequence >= followed.since
        for answer, found in zip(answers, snapshot.answers, strict=True):
            if answer.fill(found.value, found.problem, snapshot.sequence) and answer.watchers:
                self.on_changed(answer)
            for position in after:
                if position.stream != stream and position.sequence > 0:
                    answer.saw[position.stream] = max(position.sequence, answer.saw.get(position.stream, -1))
            answer.doubted = answer.doubted or not heard_all_since
