"""Pictures: what subscribers are shown of a stream, complete and one after the other (G6).

While a picture is completed its stream is held, so that what one answer has seen is known of all. How answers
are read lives in `readings`, how a stream is held in `streams`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from dataclasses import dataclass, field

from libs.contracts.envelope import Position, Stream
from libs.errors import NotCaughtUp, Refusal
from libs.live.answers import Answer, Answers
from libs.live.readings import Readings
from libs.live.streams import LONGEST_RETRY_S, RETRY_S, Streams
from libs.live.subscriber import Subscriber
from libs.live.versions import MOST_POSITIONS, to_text
from libs.telemetry import following, span

logger = logging.getLogger(__name__)
# How long an ordinary read waits for a picture that is about to read the same.
PICTURE_S = 1.0
# Queries of one reading; more are read in turn.
TOGETHER = 200
# Readings for one picture. A few are ordinary; so many mean that something is wrong.
MAX_ROUNDS = 100


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


class Pictures:
    """One for each stream that is watched or being completed."""

    def __init__(self, answers: Answers, streams: Streams, readings: Readings) -> None:
        # What is being worked on, or waits to be shown.
        self.open: dict[Stream, _Picture] = {}
        self._answers = answers
        self._streams = streams
        self._readings = readings
        # Streams with a watched answer that is a fault of ours: asked again without an event.
        self._trying_again: set[Stream] = set()
        streams.on_touched = self._touched
        readings.on_changed = self._changed

    # ---- what makes a picture change ----

    def _touched(self, stream: Stream, hop: str) -> None:
        picture = self._picture(stream)
        # The first event since the last picture is the one that the next frame is traced to.
        picture.cause = picture.cause or hop
        self.advance(stream)

    def _changed(self, answer: Answer) -> None:
        self._picture(answer.stream).changed.add(answer)

    def join(self, subscriber: Subscriber, name: str, answer: Answer) -> None:
        self._picture(answer.stream).joined.append((subscriber, name, answer))
        self.advance(answer.stream)

    def left(self, stream: Stream) -> None:
        """Somebody is gone; a picture that nobody waits for is forgotten."""
        picture = self.open.get(stream)
        if picture and picture.task is None and not self._answers.watched(stream):
            del self.open[stream]

    def _picture(self, stream: Stream) -> _Picture:
        return self.open.setdefault(stream, _Picture())

    def advance(self, stream: Stream) -> None:
        """Bring a stream's picture up to date, soon and once."""
        picture = self._picture(stream)
        picture.again = True
        if picture.task is None:
            # Of nobody's trace until a cause is known: whoever came first is not why others get a frame.
            picture.task = asyncio.create_task(self._advance(stream, picture), context=contextvars.Context())

    # ---- from one to the next ----

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
                    self._streams.release(stream)
                    picture.round = None
                    ended.set()
                picture.again = True
                picture.cause = cause or picture.cause
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_RETRY_S)
        finally:
            picture.task = None
            if not (picture.changed or picture.joined or picture.again):
                self.open.pop(stream, None)

    async def _complete(self, stream: Stream) -> None:
        """Reads until no watched answer is stale or ahead, with the stream held so that this ends."""
        hot: set[Answer] = set()
        for _ in range(MAX_ROUNDS):
            watched = self._answers.watched(stream)
            newest = max((answer.read_at for answer in watched), default=-1)
            followed = self._streams.get(stream)
            if followed and newest > followed.at:
                # A reading was ahead of the events: the others must follow to where it was.
                self._streams.hold(stream, followed, newest)
                await self._streams.reach([Position(*stream, newest)])
                continue
            stale = {answer for answer in watched if answer.stale}
            if not stale:
                return
            hot = {answer for answer in hot if answer.watchers} | stale
            if followed:
                self._streams.hold(stream, followed, followed.at)
            together = list(hot)
            for start in range(0, len(together), TOGETHER):
                await self._readings.load(together[start : start + TOGETHER])
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
        if stream not in self._trying_again and any(a.failed for a in self._answers.watched(stream)):
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
        failed = [answer for answer in self._answers.watched(stream) if answer.failed]
        self._trying_again.discard(stream)
        for answer in failed:
            answer.doubted = True
        if failed:
            self.advance(stream)

    # ---- what others ask ----

    async def ends(self, stream: Stream) -> bool:
        """A picture under way reads the same in a moment, and must not be overtaken for ever."""
        picture = self.open.get(stream)
        if picture is None or picture.round is None:
            return False
        try:
            async with asyncio.timeout(PICTURE_S):
                await picture.round.wait()
        except TimeoutError:
            return False
        return True

    def version_of(self, subscriber: Subscriber) -> str:
        """The pictures that this client's answers come from; of streams that it is yet to get an answer from,
        what it had seen before, for if it leaves before that it must still not be shown less."""
        shown = {}
        for stream in {answer.stream for answer in subscriber.holds.values()}:
            followed = self._streams.get(stream)
            if followed and followed.shown >= 0:
                shown[stream] = followed.shown
        for position in subscriber.seen:
            if position.stream in shown or len(shown) < MOST_POSITIONS:
                shown[position.stream] = max(position.sequence, shown.get(position.stream, 0))
        return to_text(Position(*stream, sequence) for stream, sequence in shown.items())
