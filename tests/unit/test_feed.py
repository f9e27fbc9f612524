"""A feed applies each fact once and in order, whatever the broker does to the deliveries (G4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.bus import feed as feeds
from libs.bus.feed import Feed
from libs.contracts.envelope import Fact, Position, Stream
from libs.errors import NotCaughtUp

STREAMS = (Stream("registry", "org_a"), Stream("registry", "org_b"))


def a_fact(sequence: int, stream: Stream = STREAMS[0]) -> Fact:
    return Fact(
        service=stream.service,
        org=stream.org,
        sequence=sequence,
        type="registry.app_created",
        subject=stream.org,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        data={},
    )


class Owner:
    """The log that gaps are filled from, and the consumer that facts are applied to."""

    def __init__(self, length: int, applied: int = 0) -> None:
        self.log = {stream: [a_fact(n, stream) for n in range(1, length + 1)] for stream in STREAMS}
        self.applied: dict[Stream, list[int]] = {s: list(range(1, applied + 1)) for s in STREAMS}
        self.asked = 0
        self.failures = 0
        self.feed = Feed(self.apply, self.position, self.fill)

    async def apply(self, stream: Stream, facts: list[Fact]) -> None:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the database is away")
        self.applied[stream] += [fact.sequence for fact in facts]

    async def position(self, stream: Stream) -> int:
        await asyncio.sleep(0)
        return len(self.applied[stream])

    async def fill(self, stream: Stream, after: int, limit: int) -> list[Fact]:
        self.asked += 1
        return self.log[stream][after : after + limit]

    async def deliver(self, facts: Iterable[Fact]) -> list[BaseException | None]:
        """All at once, as a broker with a prefetch does; what could not be applied is raised."""
        return await asyncio.gather(*(self.feed.offer(fact) for fact in facts), return_exceptions=True)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "GRACE_S", 0.002)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_each_fact_is_applied_once_and_in_order(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 12))
    every = [(stream, n) for stream in STREAMS for n in range(1, length + 1)]
    # Shuffled, some twice, some never; the last of each stream always, or nobody would know of it.
    delivered = data.draw(st.lists(st.sampled_from(every), max_size=2 * len(every)))
    delivered += [(stream, length) for stream in STREAMS]
    order = data.draw(st.permutations(delivered))
    rounds = data.draw(st.integers(1, 3))

    async def run() -> None:
        owner = Owner(length, applied=data.draw(st.integers(0, length)))
        for start in range(rounds):
            assert not any(await owner.deliver(a_fact(n, s) for s, n in order[start::rounds]))
        for stream in STREAMS:
            assert owner.applied[stream] == list(range(1, length + 1))
            assert await owner.position(stream) == length

    asyncio.run(run())


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(1, 9)), st.integers(1, 3))
def test_what_was_not_applied_is_delivered_again_and_then_applied(order: list[int], failures: int) -> None:
    async def run() -> None:
        owner = Owner(8)
        owner.failures = failures
        waiting = [a_fact(number) for number in order]
        for _ in range(failures + 1):
            refused = await owner.deliver(waiting)
            waiting = [fact for fact, error in zip(waiting, refused, strict=True) if error]
        assert waiting == []
        assert owner.applied[STREAMS[0]] == list(range(1, 9))

    asyncio.run(run())


async def test_a_small_inversion_is_waited_for_and_nobody_is_asked() -> None:
    owner = Owner(3)
    assert not any(await owner.deliver([a_fact(2), a_fact(1), a_fact(3)]))
    assert owner.applied[STREAMS[0]] == [1, 2, 3]
    assert owner.asked == 0


async def test_a_gap_is_filled_from_the_owner() -> None:
    owner = Owner(500)
    await owner.feed.offer(a_fact(500))
    assert owner.applied[STREAMS[0]] == list(range(1, 501))
    assert owner.asked == 3


async def test_a_gap_that_the_owner_cannot_fill_is_no_reason_to_skip() -> None:
    owner = Owner(0)
    with pytest.raises(NotCaughtUp):
        await owner.feed.offer(a_fact(5))
    assert owner.applied[STREAMS[0]] == []
    owner.log[STREAMS[0]] = [a_fact(number) for number in range(1, 6)]
    await owner.feed.offer(a_fact(5))
    assert owner.applied[STREAMS[0]] == [1, 2, 3, 4, 5]


async def test_an_owners_log_with_a_hole_is_taken_up_to_the_hole_alone() -> None:
    owner = Owner(5)
    del owner.log[STREAMS[0]][2]
    with pytest.raises(NotCaughtUp):
        await owner.feed.offer(a_fact(5))
    assert owner.applied[STREAMS[0]] == [1, 2]


async def test_whoever_waits_for_a_version_gets_it_from_the_owner() -> None:
    owner = Owner(4)
    await owner.feed.reach(Position(*STREAMS[0], 4), timeout=5)
    assert owner.applied[STREAMS[0]] == [1, 2, 3, 4]


async def test_a_version_that_does_not_come_is_not_waited_for_without_end() -> None:
    owner = Owner(2)
    with pytest.raises(NotCaughtUp):
        await owner.feed.reach(Position(*STREAMS[0], 3), timeout=0.05)
    assert owner.applied[STREAMS[0]] == [1, 2]
