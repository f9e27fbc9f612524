"""The live engine: events in, transitions out, one consistent picture of every stream.

All watched answers of a stream (one service, one organization) move together. When events make some of them
stale, those are read again in one snapshot of their service at some sequence R; the stream is then followed
to exactly R, so that what the snapshot already holds is known of every other answer too. Answers that these
events touch join the next reading, until none is stale. Then, and only then, subscribers get one transition
(G6). Streams have no common order, so a service that does not answer holds up nobody else's pictures.

An event is heard the moment it arrives: rights change, and cached answers stop being vouched for. Only the
pictures keep back what comes after the sequence that they are being completed at.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from libs.bus.feed import Feed
from libs.bus.rpc import Asker
from libs.contracts.base import Query, service_caller
from libs.contracts.envelope import Fact, Position, Stream
from libs.errors import NotCaughtUp, Refusal
from libs.live.answers import Answer, Answers
from libs.live.subscriber import Subscriber
from libs.live.versions import MOST_POSITIONS, to_text
from libs.telemetry import current_traceparent, following, span

logger = logging.getLogger(__name__)
CATCH_UP_S = 3.0
RETRY_S = 0.5
LONGEST_RETRY_S = 5.0
# Longer than a delivery takes; after that the owner is asked.
ON_ITS_WAY_S = 0.1
# How long an ordinary read waits for a picture that is about to read the same.
PICTURE_S = 1.0
# Queries of one reading; more are read in turn.
TOGETHER = 200
# Readings for one picture. A few are ordinary; so many mean that something is wrong.
MAX_ROUNDS = 100


class _Heard(NamedTuple):
    """A fact that pictures do not show yet, with the trace context of the hop that brought it."""

    fact: Fact
    hop: str


@dataclass
class _Followed:
    """How far one stream is known here."""

    # Facts up to here have been heard, without a gap since `since`.
    heard: int
    since: int
    # Facts up to here are known to the answers; ahead of it is what a hold keeps back.
    at: int
    ahead: deque[_Heard] = field(default_factory=deque)
    held_at: int | None = None
    # The last complete picture. Versions that subscribers are told come from this.
    shown: int = -1
    moved: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Picture:
    """The work on a stream's next picture."""

    task: asyncio.Task[None] | None = None
    # Something changed since the reading began.
    again: bool = False
    # The event that the next frame is traced to.
    cause: str | None = None
    changed: set[Answer] = field(default_factory=set)
    joined: list[tuple[Subscriber, str, Answer]] = field(default_factory=list)
    # Set when the reading that runs has ended, well or not.
    round: asyncio.Event | None = None


class _Reading(NamedTuple):
    """One answer's reading under way, and what was known when it began."""

    promises: int
    touched_at: int
    task: asyncio.Task[None]


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
        self._streams: dict[Stream, _Followed] = {}
        self._pictures: dict[Stream, _Picture] = {}
        self._reading: dict[Answer, _Reading] = {}
        # Versions that this process promised to a writer; a cached answer must be at or past them.
        self._promised: dict[Stream, int] = {}
        self._promises = 0
        self._last_promise: dict[Stream, int] = {}
        # Grows with every lost connection; a reading that began before one cannot be trusted after it.
        self._doubts = 0
        # The trace context of the hop that brought a fact.
        self._hops: dict[str, str] = {}
        self._healing: dict[Stream, asyncio.Task[None]] = {}
        # Streams with a watched answer that is a fault of ours: asked again without an event.
        self._trying_again: set[Stream] = set()

    # ---- what arrives ----

    async def receive(self, fact: Fact) -> None:
        """One fact from the bus, inside the span of its delivery."""
        if fact.stream not in self._streams:
            whole = fact.service in self._followed_whole
            self.start_at(fact.stream, 0 if whole else fact.sequence - 1)
        self._hops[fact.id] = current_traceparent() or ""
        try:
            await self.feed.offer(fact)
        except Exception:
            # What came before it is missing, and its owner could not be asked.
            self._heal(fact.stream, fact.sequence)
            raise
        finally:
            self._hops.pop(fact.id, None)

    def start_at(self, stream: Stream, sequence: int) -> None:
        """Follow a stream from here: everything up to `sequence` is known."""
        followed = self._streams.get(stream)
        if followed is None:
            self._streams[stream] = _Followed(heard=sequence, since=sequence, at=sequence)
        elif sequence > followed.heard:
            followed.heard = followed.since = followed.at = sequence
            followed.ahead.clear()
            self._doubts += 1
            self.answers.doubt({stream})

    def position(self, stream: Stream) -> int | None:
        """How far a stream has been heard."""
        followed = self._streams.get(stream)
        return followed.heard if followed else None

    def followed(self) -> set[Stream]:
        return set(self._streams)

    def promise(self, positions: Iterable[Position]) -> None:
        """A writer was told these versions: no older answer is given here from now on."""
        for position in positions:
            if position.sequence > self._promised.get(position.stream, -1):
                self._promised[position.stream] = position.sequence
                self._promises += 1
                self._last_promise[position.stream] = self._promises

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
                await self.feed.reach(position, max(deadline - loop.time(), 0.0))

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
            followed.ahead.append(_Heard(fact, self._hops.get(fact.id) or fact.traceparent or ""))
        self._let_through(stream, followed)

    def _let_through(self, stream: Stream, followed: _Followed) -> None:
        """What no hold keeps back becomes known to the answers."""
        while followed.ahead:
            fact, hop = followed.ahead[0]
            if followed.held_at is not None and fact.sequence > followed.held_at:
                break
            followed.ahead.popleft()
            followed.at = fact.sequence
            if self.answers.touch(fact):
                picture = self._picture(stream)
                # The first event since the last picture is the one that the next frame is traced to.
                picture.cause = picture.cause or hop
                self.advance(stream)
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
                    await self.feed.reach(Position(*stream, max(head, sequence)), CATCH_UP_S)
                except Exception as error:
                    logger.warning("the gap in %s is not closed yet: %r", stream, error)

        task = asyncio.create_task(healing(), context=contextvars.Context())
        self._healing[stream] = task
        task.add_done_callback(lambda _: self._healing.pop(stream, None))

    # ---- reads ----

    async def read(self, query: Query[Any], after: Iterable[Position] = ()) -> Answer:
        """The newest answer that this process can vouch for, at or past `after`; computed if need be."""
        answer = self.answers.of(query)
        wanted = tuple(after)
        if self.is_fresh(answer, wanted):
            return answer
        if answer.watchers and await self._picture_ends(answer.stream) and self.is_fresh(answer, wanted):
            return answer
        await self._read_once(answer, wanted)
        return answer

    def is_fresh(self, answer: Answer, after: Iterable[Position] = ()) -> bool:
        """True if no event that this process knows of, and no version promised, is past the answer."""
        if answer.stale or answer.failed or self._touched_at(answer) > answer.read_at:
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
        if followed is None or answer.stale or self._touched_at(answer) > answer.read_at:
            return answer.read_at
        return max(answer.read_at, followed.heard)

    def _touched_at(self, answer: Answer) -> int:
        """The newest fact heard that concerns an answer, kept back or not."""
        followed = self._streams.get(answer.stream)
        if followed is None or not followed.ahead:
            return answer.touched_at
        kept_back = (heard.fact for heard in reversed(followed.ahead))
        return next((fact.sequence for fact in kept_back if answer.concerns(fact)), answer.touched_at)

    async def _picture_ends(self, stream: Stream) -> bool:
        """A picture under way reads the same in a moment, and must not be overtaken for ever."""
        picture = self._pictures.get(stream)
        if picture is None or picture.round is None:
            return False
        try:
            async with asyncio.timeout(PICTURE_S):
                await picture.round.wait()
        except TimeoutError:
            return False
        return True

    async def _read_once(self, answer: Answer, after: tuple[Position, ...]) -> None:
        """Single flight, unless a reading that is under way may be too old for this caller.

        In a task of its own: the one who asked first may leave, and the others still wait."""
        reading = self._reading.get(answer)
        if (
            reading is None
            or after
            or reading.promises < self._last_promise.get(answer.stream, 0)
            or reading.touched_at < self._touched_at(answer)
        ):
            task = asyncio.create_task(self._load([answer], after))
            reading = _Reading(self._promises, self._touched_at(answer), task)
            self._reading[answer] = reading
            task.add_done_callback(lambda done: self._read_ended(answer, done))
        await asyncio.shield(reading.task)

    def _read_ended(self, answer: Answer, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # whoever waits gets it; nobody may be left
        reading = self._reading.get(answer)
        if reading and reading.task is task:
            del self._reading[answer]

    async def _load(self, answers: list[Answer], after: tuple[Position, ...] = ()) -> None:
        """Reads answers of one stream in one snapshot."""
        stream = answers[0].stream
        doubts = self._doubts
        snapshot = await self._asker.read(
            stream.service, stream.org, tuple(answer.named for answer in answers), self._caller, after
        )
        if stream not in self._streams:
            # The queue was bound before this reading: whatever comes later will arrive. The newest commit
            # that was read may not be on the disk yet (it is told only then), so a picture waits to be told
            # of it: a database that dies in this moment must not take a client back in time.
            self.start_at(stream, max(snapshot.sequence - 1, 0))
        # Between the snapshot and the first fact heard there may be facts that nobody here has heard.
        heard_all_since = doubts == self._doubts and snapshot.sequence >= self._streams[stream].since
        for answer, found in zip(answers, snapshot.answers, strict=True):
            if answer.fill(found.value, found.problem, snapshot.sequence) and answer.watchers:
                self._picture(stream).changed.add(answer)
            for position in after:
                if position.stream != stream and position.sequence > 0:
                    answer.saw[position.stream] = max(position.sequence, answer.saw.get(position.stream, -1))
            answer.doubted = answer.doubted or not heard_all_since

    # ---- subscriptions ----

    def subscribe(self, subscriber: Subscriber, name: str, query: Query[Any]) -> None:
        """The first value comes with the stream's next picture, at once if nothing is stale."""
        self.unsubscribe(subscriber, name)
        answer = self.answers.of(query)
        self.answers.watch(answer, subscriber, name)
        subscriber.holds[name] = answer
        self._join(subscriber, name, answer)

    def unsubscribe(self, subscriber: Subscriber, name: str) -> None:
        answer = subscriber.holds.pop(name, None)
        subscriber.drop(name)
        if answer is None:
            return
        self.answers.unwatch(answer, subscriber, name)
        picture = self._pictures.get(answer.stream)
        if picture and picture.task is None and not self.answers.watched(answer.stream):
            del self._pictures[answer.stream]

    def rejoin(self, subscriber: Subscriber) -> None:
        """Everything held comes with the next pictures; the subscriber leaves out what its client has."""
        for name, answer in subscriber.holds.items():
            self._join(subscriber, name, answer)

    def leave(self, subscriber: Subscriber) -> None:
        for name in list(subscriber.holds):
            self.unsubscribe(subscriber, name)

    def version_of(self, subscriber: Subscriber) -> str:
        """The pictures that this client's answers come from; of streams that it is yet to get an answer from,
        what it had seen before, for if it leaves before that it must still not be shown less."""
        streams = {answer.stream for answer in subscriber.holds.values()} & self._streams.keys()
        shown = {
            stream: self._streams[stream].shown for stream in streams if self._streams[stream].shown >= 0
        }
        for position in subscriber.seen:
            if position.stream in shown or len(shown) < MOST_POSITIONS:
                shown[position.stream] = max(position.sequence, shown.get(position.stream, 0))
        return to_text(Position(*stream, sequence) for stream, sequence in shown.items())

    def _join(self, subscriber: Subscriber, name: str, answer: Answer) -> None:
        self._picture(answer.stream).joined.append((subscriber, name, answer))
        self.advance(answer.stream)

    # ---- pictures ----

    def _picture(self, stream: Stream) -> _Picture:
        return self._pictures.setdefault(stream, _Picture())

    def advance(self, stream: Stream) -> None:
        """Bring a stream's picture up to date, soon and once."""
        picture = self._picture(stream)
        picture.again = True
        if picture.task is None:
            # Of nobody's trace until a cause is known: whoever came first is not why others get a frame.
            picture.task = asyncio.create_task(self._advance(stream, picture), context=contextvars.Context())

    async def _advance(self, stream: Stream, picture: _Picture) -> None:
        pause = RETRY_S
        try:
            while picture.again:
                picture.again = False
                cause, picture.cause = picture.cause, None
                picture.round = ended = asyncio.Event()
                try:
                    with following(cause or None):
                        await self._complete(stream)
                        self._publish(stream, picture)
                    pause = RETRY_S
                    continue
                except Refusal as refusal:
                    logger.warning("picture of %s put off: %r", stream, refusal)
                except Exception:
                    logger.exception("picture of %s put off", stream)
                finally:
                    self._release(stream)
                    picture.round = None
                    ended.set()
                picture.again = True
                picture.cause = cause or picture.cause
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_RETRY_S)
        finally:
            picture.task = None
            if not (picture.changed or picture.joined or picture.again):
                self._pictures.pop(stream, None)

    async def _complete(self, stream: Stream) -> None:
        """Reads until no watched answer is stale or ahead, with the stream held so that this ends."""
        hot: set[Answer] = set()
        for _ in range(MAX_ROUNDS):
            watched = self.answers.watched(stream)
            newest = max((answer.read_at for answer in watched), default=-1)
            followed = self._streams.get(stream)
            if followed and newest > followed.at:
                # A reading was ahead of the events: the others must follow to where it was.
                self._hold(stream, followed, newest)
                await self.reach([Position(*stream, newest)])
                continue
            stale = {answer for answer in watched if answer.stale}
            if not stale:
                return
            hot = {answer for answer in hot if answer.watchers} | stale
            if followed:
                self._hold(stream, followed, followed.at)
            together = list(hot)
            for start in range(0, len(together), TOGETHER):
                await self._load(together[start : start + TOGETHER])
        raise NotCaughtUp(f"{stream} does not come to rest")

    def _publish(self, stream: Stream, picture: _Picture) -> None:
        followed = self._streams.get(stream)
        changed, picture.changed = picture.changed, set()
        joined, picture.joined = picture.joined, []
        if followed:
            followed.shown = followed.at
        affected: set[Subscriber] = set()
        for answer in changed:
            for subscriber, names in answer.watchers.items():
                subscriber.push(names, answer)
                affected.add(subscriber)
        for subscriber, name, answer in joined:
            if subscriber.holds.get(name) is answer:
                subscriber.push({name}, answer)
                affected.add(subscriber)
        if stream not in self._trying_again and any(a.failed for a in self.answers.watched(stream)):
            self._trying_again.add(stream)
            asyncio.get_running_loop().call_later(LONGEST_RETRY_S, self._try_failed_again, stream)
        if not affected:
            return
        with span(
            "live.frame",
            attributes={"mes.subscribers": len(affected), "mes.answers": len(changed) + len(joined)},
        ):
            for subscriber in affected:
                subscriber.publish(self.version_of(subscriber))

    def _try_failed_again(self, stream: Stream) -> None:
        failed = [answer for answer in self.answers.watched(stream) if answer.failed]
        self._trying_again.discard(stream)
        for answer in failed:
            answer.doubted = True
        if failed:
            self.advance(stream)

    def _hold(self, stream: Stream, followed: _Followed, sequence: int) -> None:
        followed.held_at = sequence
        self._let_through(stream, followed)

    def _release(self, stream: Stream) -> None:
        followed = self._streams.get(stream)
        if followed and followed.held_at is not None:
            followed.held_at = None
            self._let_through(stream, followed)

    # ---- after a lost connection ----

    async def resync(self, streams: Iterable[Stream]) -> None:
        """Every reconnect counts as a gap: whatever was read before may have missed an event."""
        doubted = set(streams)
        self._doubts += 1
        self.answers.doubt(doubted)
        for stream in doubted:
            if self.answers.watched(stream):
                self.advance(stream)
