"""How far each stream is known here: heard in order and without gaps, kept back while a picture needs it.

An event is heard the moment it arrives: rights change, and cached answers stop being vouched for. Only the
pictures keep back what comes after the sequence that they are being completed at. They live in `pictures`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from libs.bus.feed import Feed
from libs.bus.rpc import Asker
from libs.contracts.envelope import Fact, Position, Stream
from libs.errors import NotCaughtUp
from libs.live.answers import Answer, Answers
from libs.telemetry import current_traceparent

logger = logging.getLogger(__name__)
CATCH_UP_S = 3.0
RETRY_S = 0.5
LONGEST_RETRY_S = 5.0
# Longer than a delivery takes; after that the owner is asked.
ON_ITS_WAY_S = 0.1


class Heard(NamedTuple):
    """A fact that pictures do not show yet, with the trace context of the hop that brought it."""

    fact: Fact
    hop: str


@dataclass
class Followed:
    """How far one stream is known here."""

    # Facts up to here have been heard, without a gap since `since`.
    heard: int
    since: int
    # Facts up to here are known to the answers; ahead of it is what a hold keeps back.
    at: int
    ahead: deque[Heard] = field(default_factory=deque)
    held_at: int | None = None
    # The last complete picture. Versions that subscribers are told come from this.
    shown: int = -1
    moved: asyncio.Event = field(default_factory=asyncio.Event)


class Streams:
    """What this process follows. `on_fact` sees every fact first, in order."""

    def __init__(
        self,
        asker: Asker,
        answers: Answers,
        on_fact: Callable[[Fact], None],
        followed_whole: frozenset[str],
    ) -> None:
        # Services whose every stream is known here from its first fact; others are followed once asked for.
        self._followed_whole = followed_whole
        # Told of each stream whose answers an event made stale, with the trace context of the event's hop.
        self.on_touched: Callable[[Stream, str], None] = lambda stream, hop: None
        # Grows with every lost connection; a reading that began before one cannot be trusted after it.
        self.doubts = 0
        self._asker = asker
        self._answers = answers
        self._on_fact = on_fact
        self._feed = Feed(self._apply, self._first_position, self._fill)
        self._streams: dict[Stream, Followed] = {}
        # The trace context of the hop that brought a fact.
        self._hops: dict[str, str] = {}
        self._healing: dict[Stream, asyncio.Task[None]] = {}

    def get(self, stream: Stream) -> Followed | None:
        return self._streams.get(stream)

    def names(self) -> set[Stream]:
        return set(self._streams)

    def touched_at(self, answer: Answer) -> int:
        """The newest fact heard that concerns an answer, kept back or not."""
        followed = self._streams.get(answer.stream)
        if followed is None or not followed.ahead:
            return answer.touched_at
        kept_back = (heard.fact for heard in reversed(followed.ahead))
        return next((fact.sequence for fact in kept_back if answer.concerns(fact)), answer.touched_at)

    # ---- what arrives ----

    async def receive(self, fact: Fact) -> None:
        """One fact from the bus, inside the span of its delivery."""
        if fact.stream not in self._streams:
            whole = fact.service in self._followed_whole
            self.start_at(fact.stream, 0 if whole else fact.sequence - 1)
        self._hops[fact.id] = current_traceparent() or ""
        try:
            await self._feed.offer(fact)
        except Exception:
            # What came before it is missing, and its owner could not be asked.
            self._heal(fact.stream, fact.sequence)
            raise
        finally:
            self._hops.pop(fact.id, None)

    def start_at(self, stream: Stream, sequence: int) -> Followed:
        """Follow a stream from here: everything up to `sequence` is known."""
        followed = self._streams.get(stream)
        if followed is None:
            followed = self._streams[stream] = Followed(heard=sequence, since=sequence, at=sequence)
        elif sequence > followed.heard:
            followed.heard = followed.since = followed.at = sequence
            followed.ahead.clear()
            self.doubts += 1
            self._answers.doubt({stream})
        return followed

    async def _apply(self, stream: Stream, facts: list[Fact]) -> None:
        """Never waits: a revoked right must not queue behind a slow reading (G7)."""
        followed = self._streams[stream]
        for fact in facts:
            if fact.sequence <= followed.heard:
                continue
            try:
                self._on_fact(fact)
            except Exception:
                # One fact that cannot be understood must not keep back those behind it.
                logger.exception("%s was not understood", fact.id)
            followed.heard = fact.sequence
            followed.ahead.append(Heard(fact, self._hops.get(fact.id) or fact.traceparent or ""))
        self._let_through(stream, followed)

    def _let_through(self, stream: Stream, followed: Followed) -> None:
        """What no hold keeps back becomes known to the answers."""
        while followed.ahead:
            fact, hop = followed.ahead[0]
            if followed.held_at is not None and fact.sequence > followed.held_at:
                break
            followed.ahead.popleft()
            followed.at = fact.sequence
            if self._answers.touch(fact):
                self.on_touched(stream, hop)
        followed.moved.set()
        followed.moved = asyncio.Event()

    async def _first_position(self, stream: Stream) -> int:
        followed = self._streams.get(stream)
        return followed.heard if followed else -1

    async def _fill(self, stream: Stream, after: int, limit: int) -> list[Fact]:
        return await self._asker.events_after(stream, after, limit)

    def _heal(self, stream: Stream, sequence: int) -> None:
        """Goes on asking: the next event, which would show the gap, may be long in coming."""
        if stream in self._healing:
            return

        async def healing() -> None:
            pause = RETRY_S
            while self._streams[stream].heard < sequence:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_RETRY_S)
                try:
                    head = (await self._asker.heads(stream.service, (stream.org,)))[stream.org]
                    await self._feed.reach(Position(*stream, max(head, sequence)), CATCH_UP_S)
                except Exception as error:
                    logger.warning("the gap in %s is not closed yet: %r", stream, error)

        task = asyncio.create_task(healing(), context=contextvars.Context())
        self._healing[stream] = task
        task.add_done_callback(lambda _: self._healing.pop(stream, None))

    # ---- who waits for it ----

    async def reach(self, positions: Iterable[Position], timeout: float = CATCH_UP_S) -> None:
        """Waits until this process has heard that far; NotCaughtUp if it cannot.

        A stream that nothing here was read from needs no waiting: what is read from it will be new."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        for position in positions:
            if position.sequence == 0:
                continue  # nothing was seen of it, and any name would do
            if position.stream not in self._streams:
                if position.service not in self._followed_whole:
                    continue
                await self._begin(position, deadline)
            left = deadline - loop.time()
            if not await self._arrives(position, min(ON_ITS_WAY_S, left)):
                await self._feed.reach(position, max(deadline - loop.time(), 0.0))

    async def catch_up(self, positions: Iterable[Position]) -> None:
        """Waits until no picture from now on is older than these versions; NotCaughtUp if it cannot."""
        wanted = tuple(positions)
        await self.reach(wanted)
        try:
            async with asyncio.timeout(CATCH_UP_S):
                for position in wanted:
                    followed = self._streams.get(position.stream)
                    while followed and followed.at < position.sequence:
                        # Heard, but kept back by a picture under way.
                        await followed.moved.wait()
        except TimeoutError:
            raise NotCaughtUp("a picture under way takes long") from None

    async def _begin(self, position: Position, deadline: float) -> None:
        """Follows a stream that is there. Its owner is asked, as clients may make up names without end."""
        stream = position.stream
        try:
            async with asyncio.timeout_at(deadline):
                head = (await self._asker.heads(stream.service, (stream.org,)))[stream.org]
        except TimeoutError:
            raise NotCaughtUp(f"the owner of {stream} does not answer") from None
        if head < position.sequence:
            raise NotCaughtUp(f"{stream} is not at {position.sequence} anywhere")
        if stream not in self._streams:
            self.start_at(stream, 0)

    async def _arrives(self, position: Position, timeout: float) -> bool:
        """The ordinary case: the event is on its way."""
        followed = self._streams[position.stream]
        try:
            async with asyncio.timeout(timeout):
                while followed.heard < position.sequence:
                    await followed.moved.wait()
        except TimeoutError:
            return False
        return True

    # ---- what is kept back ----

    def hold(self, stream: Stream, followed: Followed, sequence: int) -> None:
        followed.held_at = sequence
        self._let_through(stream, followed)

    def release(self, stream: Stream) -> None:
        followed = self._streams.get(stream)
        if followed and followed.held_at is not None:
            followed.held_at = None
            self._let_through(stream, followed)
