"""Every event of an organization for those who listen to all: complete, and in order for each service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from libs.bus.rpc import Asker
from libs.contracts.envelope import Fact, Position, Stream
from libs.errors import Gone

SERVICES = ("identity", "registry", "deploy", "audit")
# A listener that is so far behind is cut off; it resumes with the last id it got.
MAX_WAITING = 2_000
# A listener that asks for more than this is told to start over.
MAX_REPLAY = 5_000
PAGE = 500


class TooOld(Gone):
    """That point is too far back; list what you need and follow from now."""


class Recheck:
    """Waits among facts: rights may have changed, so look whether the listener may still listen."""


class Listener:
    """One listener of an organization: how far it is in each stream, and what waits."""

    def __init__(self, org: str) -> None:
        self.org = org
        self.at: dict[Stream, int] = {}
        self.queue: asyncio.Queue[Fact | Recheck | None] = asyncio.Queue()

    def offer(self, fact: Fact) -> None:
        if self.queue.qsize() >= MAX_WAITING:
            self.cut()
        else:
            self.queue.put_nowait(fact)

    def cut(self) -> None:
        """Ends the feed; the client comes back and resumes."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)

    def positions(self) -> list[Position]:
        return [Position(*stream, sequence) for stream, sequence in self.at.items()]


class Feeds:
    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._listeners: dict[str, set[Listener]] = {}

    def apply(self, fact: Fact) -> None:
        for listener in self._listeners.get(fact.org, ()):
            listener.offer(fact)

    def recheck(self) -> None:
        """Rights may have changed: nobody waits for the next event to be told to go."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.queue.put_nowait(Recheck())

    def doubt(self) -> None:
        """Something may have been missed: listeners resume from what they have."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.cut()

    async def open(self, org: str, after: tuple[Position, ...] | None) -> Listener:
        """Listens first, then finds where to begin, so that nothing falls between."""
        listener = Listener(org)
        self._listeners.setdefault(org, set()).add(listener)
        try:
            for service in SERVICES:
                stream = Stream(service, org)
                head = (await self._asker.heads(service, (org,)))[org]
                if after is None:
                    listener.at[stream] = head
                else:
                    given = next((p.sequence for p in after if p.stream == stream), 0)
                    if head - given > MAX_REPLAY or given > head:
                        raise TooOld(f"{given} of {head} in {service}")
                    listener.at[stream] = given
        except BaseException:
            self.close(listener)
            raise
        return listener

    def close(self, listener: Listener) -> None:
        listeners = self._listeners.get(listener.org, set())
        listeners.discard(listener)
        if not listeners:
            self._listeners.pop(listener.org, None)

    async def replay(self, listener: Listener) -> AsyncIterator[Fact]:
        """What happened between where the listener is and now, in order for each service."""
        for stream in list(listener.at):
            async for fact in self._missing(listener, stream, None):
                yield fact

    async def follow(self, listener: Listener, fact: Fact) -> AsyncIterator[Fact]:
        """The fact, with what is missing before it; nothing if the listener has it."""
        at = listener.at.get(fact.stream, 0)
        if fact.sequence <= at:
            return
        if fact.sequence > at + 1:
            async for missing in self._missing(listener, fact.stream, fact.sequence - 1):
                yield missing
        listener.at[fact.stream] = fact.sequence
        yield fact

    async def _missing(self, listener: Listener, stream: Stream, until: int | None) -> AsyncIterator[Fact]:
        while until is None or listener.at[stream] < until:
            facts = await self._asker.events_after(stream, listener.at[stream], PAGE)
            for fact in facts:
                if until is not None and fact.sequence > until:
                    return
                listener.at[stream] = fact.sequence
                yield fact
            if len(facts) < PAGE:
                return
