"""Applying other services' facts once each and in order, whatever the broker does (G4). No AMQP here.

A broker delivers at least once and, after a failure, in any order. A feed keeps a position for each
stream: it drops what it has, waits a moment for what is late, and asks the owner for what is missing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from libs.contracts.envelope import Fact, Position, Stream
from libs.errors import NotCaughtUp

logger = logging.getLogger(__name__)

# Two replicas publish side by side, so a small inversion is ordinary; a longer one is a gap.
GRACE_S = 0.03
BATCH = 200

Apply = Callable[[Stream, list[Fact]], Awaitable[None]]
Fill = Callable[[Stream, int, int], Awaitable[list[Fact]]]
Find = Callable[[Stream], Awaitable[int]]


@dataclass
class _Waiting:
    position: int | None = None
    facts: dict[int, Fact] = field(default_factory=dict)
    waiters: dict[int, list[asyncio.Future[None]]] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    worker: asyncio.Task[None] | None = None
    applied_at: float = -1e9


class Feed:
    """`apply(stream, facts)` gets contiguous facts; `position(stream)` is the last one applied, durably;
    `fill(stream, after, limit)` asks the owner. `linger` is the least time between two
    runs of a stream: the first is applied at once, what comes soon after together."""

    def __init__(self, apply: Apply, position: Find, fill: Fill, linger: timedelta = timedelta(0)) -> None:
        self._linger = linger.total_seconds()
        self._apply = apply
        self._position = position
        self._fill = fill
        self._streams: dict[Stream, _Waiting] = {}
        self._moved = asyncio.Event()

    def position(self, stream: Stream) -> int | None:
        waiting = self._streams.get(stream)
        return waiting.position if waiting else None

    def streams(self) -> list[Stream]:
        return list(self._streams)

    async def offer(self, fact: Fact) -> None:
        """Returns once the fact is applied, or was before. Raises what kept it from being applied."""
        state = self._streams.setdefault(fact.stream, _Waiting())
        if state.position is not None and fact.sequence <= state.position:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        state.facts[fact.sequence] = fact
        state.waiters.setdefault(fact.sequence, []).append(done)
        state.arrived.set()
        if state.worker is None or state.worker.done():
            state.worker = asyncio.create_task(self._drain(fact.stream, state))
        await done

    async def reach(self, target: Position, timeout: float) -> None:
        """Waits until a version is applied here, and asks the owner if it does not come by itself."""
        stream = target.stream
        if target.sequence == 0:
            return  # nothing to wait for, whatever the name
        try:
            async with asyncio.timeout(timeout):
                if await self._reached(target):
                    return
                await self._wait_moved(GRACE_S)
                while not await self._reached(target):
                    position = await self._known(stream)
                    facts = await self._fill(stream, position, BATCH)
                    if not facts:
                        await asyncio.sleep(0.05)
                    await asyncio.gather(*(self.offer(fact) for fact in facts))
        except TimeoutError:
            self._forget_unknown(stream)
            raise NotCaughtUp(f"{stream} is not at {target.sequence} here yet") from None

    def _forget_unknown(self, stream: Stream) -> None:
        """Clients may ask for versions of streams that are not there; names without end must not stay."""
        state = self._streams.get(stream)
        if state and not state.position and not state.facts and (state.worker is None or state.worker.done()):
            del self._streams[stream]

    async def _reached(self, target: Position) -> bool:
        known = self.position(target.stream)
        if known is not None and known >= target.sequence:
            return True
        return await self._known(target.stream) >= target.sequence

    async def _known(self, stream: Stream) -> int:
        """The durable position: another replica may have been the active one."""
        state = self._streams.setdefault(stream, _Waiting())
        position = await self._position(stream)
        if state.position is None or position > state.position:
            state.position = position
        return state.position

    async def _wait_moved(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        except TimeoutError:
            return

    async def _drain(self, stream: Stream, state: _Waiting) -> None:
        try:
            while state.facts:
                if state.position is None:
                    state.position = await self._position(stream)
                self._settle(state)
                run = _contiguous(state)
                if not run and state.facts:
                    run = await self._close_gap(stream, state)
                if not run:
                    continue
                pause = state.applied_at + self._linger - time.monotonic()
                if pause > 0 and len(run) < BATCH:
                    # Soon after another run: what arrives meanwhile is applied together, at the cost of one.
                    await asyncio.sleep(pause)
                    run = max(run, _contiguous(state), key=len)
                state.applied_at = time.monotonic()
                await self._apply(stream, run)
                state.position = run[-1].sequence
                self._settle(state)
                self._moved.set()
                self._moved = asyncio.Event()
        except Exception as error:
            logger.warning("feed of %s put off: %r", stream, error)
            self._give_up(state, error)

    async def _close_gap(self, stream: Stream, state: _Waiting) -> list[Fact]:
        assert state.position is not None
        try:
            async with asyncio.timeout(GRACE_S):
                while True:
                    state.arrived.clear()
                    await state.arrived.wait()
                    if run := _contiguous(state):
                        return run
        except TimeoutError:
            pass
        position = state.position
        filled = await self._fill(stream, position, BATCH)
        run = [fact for number, fact in enumerate(filled, position + 1) if fact.sequence == number]
        if not run:
            raise NotCaughtUp(f"the owner of {stream} has nothing after {position}")
        logger.info("filled %d facts of %s after %d", len(run), stream, position)
        return run

    def _settle(self, state: _Waiting) -> None:
        """Answers everyone whose fact is behind the position."""
        assert state.position is not None
        for sequence in [number for number in state.facts if number <= state.position]:
            del state.facts[sequence]
            for done in state.waiters.pop(sequence, []):
                if not done.done():
                    done.set_result(None)

    def _give_up(self, state: _Waiting, error: Exception) -> None:
        state.position = None
        state.facts.clear()
        waiters, state.waiters = state.waiters, {}
        for done in (done for many in waiters.values() for done in many):
            if not done.done():
                done.set_exception(error)


def _contiguous(state: _Waiting) -> list[Fact]:
    assert state.position is not None
    run: list[Fact] = []
    number = state.position + 1
    while number in state.facts and len(run) < BATCH:
        run.append(state.facts[number])
        number += 1
    return run
