"""The live engine: events in, transitions out, one consistent picture of every stream. The door to the room.

All watched answers of a stream (one service, one organization) move together. When events make some of them
stale, those are read again in one snapshot of their service at some sequence R; the stream is then followed
to exactly R, so that what the snapshot already holds is known of every other answer too. Answers that these
events touch join the next reading, until none is stale. Then, and only then, subscribers get one transition
(G6). Streams have no common order, so a service that does not answer holds up nobody else's pictures.

How far streams are known lives in `streams`, what is read from their owners in `readings`, what subscribers
are shown in `pictures`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from libs.bus.rpc import Asker
from libs.contracts.base import Query
from libs.contracts.envelope import Fact, Position, Stream
from libs.live.answers import Answer, Answers
from libs.live.pictures import Pictures
from libs.live.readings import Readings
from libs.live.streams import CATCH_UP_S, Streams
from libs.live.subscriber import Subscriber


class Engine:
    """One for each gateway. `on_fact` sees every fact first, in order: rights must not wait for answers."""

    def __init__(
        self,
        asker: Asker,
        on_fact: Callable[[Fact], None] = lambda fact: None,
        followed_whole: frozenset[str] = frozenset(),
    ) -> None:
        self.answers = Answers()
        self._streams = Streams(asker, self.answers, on_fact, followed_whole)
        self._readings = Readings(asker, self._streams)
        self._pictures = Pictures(self.answers, self._streams, self._readings)

    # ---- what arrives ----

    async def receive(self, fact: Fact) -> None:
        """One fact from the bus, inside the span of its delivery."""
        await self._streams.receive(fact)

    def start_at(self, stream: Stream, sequence: int) -> None:
        """Follow a stream from here: everything up to `sequence` is known."""
        self._streams.start_at(stream, sequence)

    def position(self, stream: Stream) -> int | None:
        """How far a stream has been heard."""
        followed = self._streams.get(stream)
        return followed.heard if followed else None

    def followed(self) -> set[Stream]:
        return self._streams.names()

    def promise(self, positions: Iterable[Position]) -> None:
        """A writer was told these versions: no older answer is given here from now on."""
        self._readings.promise(positions)

    async def reach(self, positions: Iterable[Position], timeout: float = CATCH_UP_S) -> None:
        """Waits until this process has heard that far; NotCaughtUp if it cannot."""
        await self._streams.reach(positions, timeout)

    async def catch_up(self, positions: Iterable[Position]) -> None:
        """Waits until no picture from now on is older than these versions; NotCaughtUp if it cannot."""
        await self._streams.catch_up(positions)

    # ---- reads ----

    async def read(self, query: Query[Any], after: Iterable[Position] = ()) -> Answer:
        """The newest answer that this process can vouch for, at or past `after`; computed if need be."""
        answer = self.answers.of(query)
        wanted = tuple(after)
        if self._readings.is_fresh(answer, wanted):
            return answer
        if (
            answer.watchers
            and await self._pictures.ends(answer.stream)
            and self._readings.is_fresh(answer, wanted)
        ):
            return answer
        await self._readings.once(answer, wanted)
        return answer

    def is_fresh(self, answer: Answer, after: Iterable[Position] = ()) -> bool:
        """True if no event that this process knows of, and no version promised, is past the answer."""
        return self._readings.is_fresh(answer, after)

    def holds_at(self, answer: Answer) -> int:
        """The newest sequence of its stream at which an answer is known to be right."""
        return self._readings.holds_at(answer)

    # ---- subscriptions ----

    def subscribe(self, subscriber: Subscriber, name: str, query: Query[Any]) -> None:
        """The first value comes with the stream's next picture, at once if nothing is stale."""
        self.unsubscribe(subscriber, name)
        answer = self.answers.of(query)
        self.answers.watch(answer, subscriber, name)
        subscriber.holds[name] = answer
        self._pictures.join(subscriber, name, answer)

    def unsubscribe(self, subscriber: Subscriber, name: str) -> None:
        answer = subscriber.holds.pop(name, None)
        subscriber.drop(name)
        if answer is None:
            return
        self.answers.unwatch(answer, subscriber, name)
        self._pictures.left(answer.stream)

    def rejoin(self, subscriber: Subscriber) -> None:
        """Everything held comes with the next pictures; the subscriber leaves out what its client has."""
        for name, answer in subscriber.holds.items():
            self._pictures.join(subscriber, name, answer)

    def leave(self, subscriber: Subscriber) -> None:
        for name in list(subscriber.holds):
            self.unsubscribe(subscriber, name)

    # ---- after a lost connection ----

    async def resync(self, streams: Iterable[Stream]) -> None:
        """Every reconnect counts as a gap: whatever was read before may have missed an event."""
        doubted = set(streams)
        self._streams.doubts += 1
        self.answers.doubt(doubted)
        for stream in doubted:
            if self.answers.watched(stream):
                self._pictures.advance(stream)
