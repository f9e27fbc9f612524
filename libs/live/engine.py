"""The live engine: events in, transitions out, one consistent picture for every organization.

All watched answers of an organization move together. When events make some of them stale, those are read
again in one snapshot of their service at some sequence R; the stream is then followed to exactly R, so that
what the snapshot already holds is known of every other answer too. Answers that these events touch join the
next reading, until none is stale. Then, and only then, subscribers get one transition (G6).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from libs.bus.feed import Feed
from libs.bus.rpc import Asker
from libs.contracts.base import Query, service_caller
from libs.contracts.envelope import Fact, Position, Stream
from libs.errors import Refusal
from libs.live.answers import Answer, Answers
from libs.live.subscriber import Subscriber
from libs.live.versions import covers, to_text
from libs.telemetry import current_traceparent, following, span

logger = logging.getLogger(__name__)
CATCH_UP_S = 3.0
RETRY_S = 0.5
# Longer than a delivery takes; after that the owner is asked.
ON_ITS_WAY_S = 0.1
# Queries of one reading; more are read in turn.
TOGETHER = 200


class Engine:
    """One for each gateway. `on_fact` sees every fact first, in order: rights must not wait for answers."""

    def __init__(
        self,
        asker: Asker,
        on_fact: Callable[[Fact], None] = lambda fact: None,
        followed_whole: frozenset[str] = frozenset(),
    ) -> None:
        # Services whose every stream is known here from its first fact; others are followed once asked for.
        self._followed_whole = followed_whole
        self.answers = Answers()
        self.feed = Feed(self._apply, self._first_position, self._fill)
        self._asker = asker
        self._on_fact = on_fact
        self._caller = service_caller("gateway")
        self._positions: dict[Stream, int] = {}
        # Versions that this process promised to a writer; a cached answer must be at or past them.
        self._promised: dict[Stream, int] = {}
        # Streams held at a sequence while a picture is being completed.
        self._held_at: dict[Stream, int] = {}
        self._released = asyncio.Event()
        self._advancing: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._causes: dict[str, str] = {}
        # Readings under way, each with the count of promises when it began.
        self._reading: dict[Answer, tuple[int, asyncio.Future[None]]] = {}
        self._promises = 0
        self._last_promise: dict[Stream, int] = {}
        # The trace context of the hop that brought a fact.
        self._hops: dict[str, str] = {}
        self._fresh: dict[str, set[Answer]] = {}
        self._joined: dict[str, list[tuple[Subscriber, str]]] = {}

    # ---- what arrives ----

    async def receive(self, fact: Fact) -> None:
        """One fact from the bus, inside the span of its delivery."""
        if fact.stream not in self._positions:
            whole = fact.service in self._followed_whole
            self.start_at(fact.stream, 0 if whole else fact.sequence - 1)
        self._hops[fact.id] = current_traceparent() or ""
        try:
            await self.feed.offer(fact)
        finally:
            self._hops.pop(fact.id, None)

    def start_at(self, stream: Stream, sequence: int) -> None:
        """Follow a stream from here: everything up to `sequence` is known."""
        if sequence > self._positions.get(stream, -1):
            self._positions[stream] = sequence

    def position(self, stream: Stream) -> int | None:
        return self._positions.get(stream)

    def followed(self) -> set[Stream]:
        return set(self._positions)

    def promise(self, positions: Iterable[Position]) -> None:
        """A writer was told these versions: no older answer is given here from now on."""
        for position in positions:
            if position.sequence > self._promised.get(position.stream, -1):
                self._promised[position.stream] = position.sequence
                self._promises += 1
                self._last_promise[position.stream] = self._promises

    async def reach(self, positions: Iterable[Position]) -> None:
        """Waits until this process has followed that far; NotCaughtUp if it cannot.

        A stream that nothing here was read from needs no waiting: what is read from it will be new."""
        for position in positions:
            stream = position.stream
            if stream not in self._positions:
                if stream.service not in self._followed_whole:
                    continue
                self.start_at(stream, 0)
            if not await self._arrives(position):
                await self.feed.reach(position, CATCH_UP_S)

    async def _arrives(self, position: Position) -> bool:
        """The ordinary case: the event is on its way."""
        try:
            async with asyncio.timeout(ON_ITS_WAY_S):
                while self._positions[position.stream] < position.sequence:
                    await self._released.wait()
        except TimeoutError:
            return False
        return True

    async def _apply(self, stream: Stream, facts: list[Fact]) -> None:
        for fact in facts:
            self._on_fact(fact)
        for fact in facts:
            while fact.sequence > self._held_at.get(stream, fact.sequence):
                await self._released.wait()
            if self.answers.touch(fact):
                # The first event since the last picture is the one that the next frame is traced to.
                self._causes.setdefault(fact.org, self._hops.get(fact.id) or fact.traceparent or "")
                self.advance(fact.org)
            self._positions[stream] = fact.sequence
            self._notify()

    async def _first_position(self, stream: Stream) -> int:
        return self._positions.get(stream, -1)

    async def _fill(self, stream: Stream, after: int, limit: int) -> list[Fact]:
        return await self._asker.events_after(stream, after, limit)

    # ---- reads ----

    async def read(self, query: Query[Any], after: Iterable[Position] = ()) -> Answer:
        """The newest answer that this process can vouch for, at or past `after`; computed if need be."""
        answer = self.answers.of(query)
        wanted = tuple(after)
        if self.is_fresh(answer, wanted):
            return answer
        await self._read_once(answer, wanted)
        return answer

    def is_fresh(self, answer: Answer, after: Iterable[Position] = ()) -> bool:
        """True if no event that this process knows of, and no version promised, is past the answer."""
        if answer.stale:
            return False
        stream = answer.stream
        known = max(answer.read_at, self._positions.get(stream, -1))
        if self._promised.get(stream, -1) > known:
            return False
        return all(
            position.sequence <= known if position.stream == stream else covers(self._positions, (position,))
            for position in after
        )

    async def _read_once(self, answer: Answer, after: tuple[Position, ...]) -> None:
        """Single flight, unless a reading that is under way may be too old for this caller."""
        began, under_way = self._reading.get(answer, (0, None))
        if under_way and not after and began >= self._last_promise.get(answer.stream, 0):
            await asyncio.shield(under_way)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.exception())
        mine = (self._promises, future)
        self._reading[answer] = mine
        try:
            await self._load([answer], after)
            future.set_result(None)
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else RuntimeError("cancelled"))
            raise
        finally:
            if self._reading.get(answer) is mine:
                del self._reading[answer]

    async def _load(self, answers: list[Answer], after: tuple[Position, ...] = ()) -> int:
        """Reads answers of one stream in one snapshot; its sequence."""
        stream = answers[0].stream
        snapshot = await self._asker.read(
            stream.service, stream.org, tuple(answer.named for answer in answers), self._caller, after
        )
        if stream not in self._positions:
            # The queue was bound before this reading: whatever comes later will arrive.
            self.start_at(stream, snapshot.sequence)
        for answer, found in zip(answers, snapshot.answers, strict=True):
            if answer.fill(found.value, found.problem, snapshot.sequence) and answer.watchers:
                self._fresh.setdefault(stream.org, set()).add(answer)
        return snapshot.sequence

    # ---- subscriptions ----

    def subscribe(self, subscriber: Subscriber, name: str, query: Query[Any]) -> None:
        """The first value comes with the organization's next picture, at once if nothing is stale."""
        self.unsubscribe(subscriber, name)
        answer = self.answers.of(query)
        answer.watchers.setdefault(subscriber, set()).add(name)
        subscriber.holds[name] = answer
        org = answer.stream.org
        self._joined.setdefault(org, []).append((subscriber, name))
        self.advance(org)

    def unsubscribe(self, subscriber: Subscriber, name: str) -> None:
        answer = subscriber.holds.pop(name, None)
        subscriber.drop(name)
        if answer is None:
            return
        names = answer.watchers.get(subscriber, set())
        names.discard(name)
        if not names:
            answer.watchers.pop(subscriber, None)

    def leave(self, subscriber: Subscriber) -> None:
        for name in list(subscriber.holds):
            self.unsubscribe(subscriber, name)

    def version_of(self, subscriber: Subscriber) -> str:
        """Positions of all streams that this client's answers come from."""
        streams = {answer.stream for answer in subscriber.holds.values()}
        return to_text(
            Position(*stream, self._positions[stream]) for stream in streams if stream in self._positions
        )

    # ---- pictures ----

    def advance(self, org: str) -> None:
        """Bring an organization's picture up to date, soon and once."""
        running = self._advancing.get(org)
        if running and not running.done():
            self._again.add(org)
            return
        self._advancing[org] = asyncio.create_task(self._advance(org))

    async def _advance(self, org: str) -> None:
        while True:
            self._again.discard(org)
            cause = self._causes.pop(org, None)
            try:
                with following(cause or None):
                    await self._complete(org)
                    self._publish(org)
            except Exception as error:
                if not isinstance(error, Refusal):
                    logger.exception("picture of %s", org)
                logger.warning("picture of %s put off: %r", org, error)
                self._release(org)
                await asyncio.sleep(RETRY_S)
                self._again.add(org)
            finally:
                self._release(org)
            if org not in self._again:
                return

    async def _complete(self, org: str) -> None:
        """Reads until no watched answer is stale, with the streams held so that this ends."""
        hot: set[Answer] = set()
        while True:
            watched = self.answers.watched(org)
            await self._catch_up_with(watched)
            stale = [answer for answer in watched if answer.stale]
            if not stale:
                return
            hot.update(stale)
            for stream in {answer.stream for answer in stale}:
                if stream in self._positions:
                    self._held_at[stream] = self._positions[stream]
                together = [answer for answer in hot if answer.stream == stream]
                reached = 0
                for start in range(0, len(together), TOGETHER):
                    reached = max(reached, await self._load(together[start : start + TOGETHER]))
                self._hold(stream, reached)
                await self.reach([Position(*stream, reached)])

    async def _catch_up_with(self, watched: list[Answer]) -> None:
        """An ordinary read may have renewed an answer ahead of the picture; the others must follow."""
        ahead: dict[Stream, int] = {}
        for answer in watched:
            if answer.read_at > max(self._positions.get(answer.stream, -1), ahead.get(answer.stream, -1)):
                ahead[answer.stream] = answer.read_at
        for stream, sequence in ahead.items():
            self._hold(stream, sequence)
            await self.reach([Position(*stream, sequence)])

    def _publish(self, org: str) -> None:
        fresh = self._fresh.pop(org, set())
        joined = self._joined.pop(org, [])
        affected: set[Subscriber] = set()
        for answer in fresh:
            for subscriber, names in answer.watchers.items():
                subscriber.push(names, answer)
                affected.add(subscriber)
        for subscriber, name in joined:
            if name in subscriber.holds and subscriber.holds[name].stream.org == org:
                subscriber.push({name}, subscriber.holds[name])
                affected.add(subscriber)
        if not affected:
            return
        with span(
            "live.frame",
            attributes={"mes.subscribers": len(affected), "mes.answers": len(fresh) + len(joined)},
        ):
            for subscriber in affected:
                subscriber.publish(self.version_of(subscriber))

    def _hold(self, stream: Stream, sequence: int) -> None:
        self._held_at[stream] = sequence
        self._notify()

    def _release(self, org: str) -> None:
        for stream in [stream for stream in self._held_at if stream.org == org]:
            del self._held_at[stream]
        self._notify()

    def _notify(self) -> None:
        self._released.set()
        self._released = asyncio.Event()

    # ---- after a lost connection ----

    async def resync(self, streams: Iterable[Stream]) -> None:
        """Every reconnect counts as a gap: whatever was read before may have missed an event."""
        doubted = set(streams)
        self.answers.doubt(doubted)
        for org in {stream.org for stream in doubted} & self.answers.watched_orgs():
            self.advance(org)
