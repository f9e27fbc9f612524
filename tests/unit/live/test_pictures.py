"""One picture: whatever the order of readings and events, clients see what once was, and in order (G6)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.contracts import registry
from libs.contracts.envelope import Fact
from libs.live.answers import Answers
from libs.live.pictures import Pictures
from tests.unit.live.world import (
    APP_A,
    APP_B,
    APPS,
    CHANGES,
    DEPLOY,
    ORG,
    PLACEMENTS,
    QUERIES,
    REGISTRY,
    ROLLOUTS,
    VERSIONS_A,
    Client,
    Torn,
    World,
    an_engine,
    deliver,
    run,
    settle,
)

number = st.integers(0, 11)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(0, len(CHANGES) - 1)),
        st.tuples(st.just("commit and deliver"), st.integers(0, len(CHANGES) - 1)),
        st.tuples(st.sampled_from(["deliver", "deliver", "deliver again", "lose"]), number),
        st.tuples(st.sampled_from(["look", "reply", "reply", "fail"]), number),
        st.tuples(st.sampled_from(["subscribe", "read", "read"]), st.integers(0, len(QUERIES) - 1)),
        st.tuples(st.sampled_from(["take", "unsubscribe", "wait", "resync", "resume"]), number),
    ),
    max_size=40,
)


class Story:
    """A course of events, chosen by hypothesis, and then its end: everything arrives and is answered."""

    def __init__(self) -> None:
        self.world = World(by_hand=True)
        self.engine = an_engine(self.world)
        self.clients = [Client(self.engine, self.world) for _ in range(2)]
        self.on_the_way: list[Fact] = []
        self.background: list[asyncio.Task[Any]] = []

    def start(self, work: Any) -> None:
        self.background.append(asyncio.create_task(work))

    async def step(self, what: str, which: int) -> None:
        world, engine = self.world, self.engine
        client = self.clients[which % 2]
        match what:
            case "commit" | "commit and deliver":
                fact = world.commit(*CHANGES[which])
                if what == "commit":
                    self.on_the_way.append(fact)
                else:
                    self.start(deliver(engine, fact))
            case "deliver" if self.on_the_way:
                # Mostly the oldest, sometimes one out of order.
                self.start(deliver(engine, self.on_the_way.pop(min(which // 4, len(self.on_the_way) - 1))))
            case "deliver again":
                facts = [fact for log in world.log.values() for fact in log if fact not in self.on_the_way]
                if facts:
                    self.start(deliver(engine, facts[which % len(facts)]))
            case "lose" if self.on_the_way and which < 3:
                self.on_the_way.pop(0)
            case "look" if world.readings:
                reading = world.readings[which % len(world.readings)]
                reading.snapshot = reading.snapshot or world.snapshot(reading)
            case "reply" if world.readings:
                world.reply(world.readings[which % len(world.readings)])
            case "fail" if world.readings:
                world.fail(world.readings[which % len(world.readings)])
            case "subscribe":
                client = self.clients[len(world.asked) % 2]
                client.subscribe(QUERIES[which])
            case "unsubscribe" if client.subscriber.holds:
                client.unsubscribe(sorted(client.subscriber.holds)[which % len(client.subscriber.holds)])
            case "read":
                self.start(self.read(which))
            case "take":
                await client.take()
            case "wait":
                await asyncio.sleep(0.05 * which)
            case "resync":
                await engine.resync(engine.followed())
            case "resume" if client.subscriber.resume(client.version):
                engine.rejoin(client.subscriber)
        await settle()

    async def read(self, which: int) -> None:
        """An ordinary read: never older than what was heard here when it was asked."""
        heard = self.engine.position(
            stream := next(s for s, _ in CHANGES if s.service == QUERIES[which].owner)
        )
        answer = await self.engine.read(QUERIES[which])
        if heard is not None and answer.read_at < heard:
            named = answer.named
            now, then = (self.world.value(stream, named, at) for at in (heard, max(answer.read_at, 0)))
            assert now == then, f"read at {answer.read_at}, although {heard} had been heard"

    async def end(self) -> None:
        self.world.by_hand = False
        for _ in range(400):
            for reading in list(self.world.readings):
                self.world.reply(reading)
            await settle(5)
            if self.on_the_way:
                self.start(deliver(self.engine, self.on_the_way.pop(0)))
            for client in self.clients:
                await client.take()
            if not self.on_the_way and not self.world.readings and all(t.done() for t in self.background):
                break
            await asyncio.sleep(0.05)
        # What was lost shows with the next event of its stream.
        await deliver(self.engine, self.world.commit(REGISTRY), self.world.commit(DEPLOY))
        for _ in range(200):
            for client in self.clients:
                await client.take()
            if all(client.is_current() for client in self.clients):
                break
            await asyncio.sleep(0.1)
        for task in self.background:
            with_refusal = await asyncio.gather(task, return_exceptions=True)
            assert not isinstance(with_refusal[0], AssertionError), with_refusal[0]


async def _tell(steps: list[tuple[str, int]]) -> None:
    story = Story()
    for client in story.clients:
        for query in (APPS, APP_A, PLACEMENTS, ROLLOUTS):
            client.subscribe(query)
    for step in steps:
        await story.step(*step)
    await story.end()
    for client in story.clients:
        assert client.is_current(), (client.values, client.version, story.world.log)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_answers_that_change_together_are_never_seen_apart(steps: list[tuple[str, int]]) -> None:
    run(_tell(steps))


def test_the_check_notices_an_event_that_lacks_a_topic() -> None:
    """If an event names too few topics, an answer is left behind: the client's check must say so."""

    async def story() -> None:
        world = World()
        engine = an_engine(world)
        client = Client(engine, world)
        client.subscribe(APPS)
        client.subscribe(APP_A)
        await settle()
        fact = world.commit(*CHANGES[0])
        await deliver(engine, fact.model_copy(update={"topics": fact.topics[:1]}))
        await settle()
        await client.take()

    with pytest.raises(Torn, match="but at 1 it was"):
        run(story())


def test_the_check_notices_pictures_that_do_not_wait_for_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without holding the stream, an answer runs ahead of those that changed with it."""

    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        client = Client(engine, world)
        for query in (APPS, APP_A):
            client.subscribe(query)
        await settle()
        world.reply(world.readings[0])
        await settle()
        await client.take()
        first, _ = world.commit(*CHANGES[1]), world.commit(*CHANGES[0])
        await deliver(engine, first)
        await settle()
        # The reading that the first event caused sees the second, which is still on its way.
        world.reply(world.readings[0])
        await settle()
        await client.take()

    async def careless(self: Pictures, stream: Any) -> None:
        stale = [answer for answer in self._answers.watched(stream) if answer.stale]
        if stale:
            await self._readings.load(stale)

    run(story())
    monkeypatch.setattr(Pictures, "_complete", careless)
    with pytest.raises(Torn):
        run(story())


def test_a_reading_that_runs_ahead_waits_for_the_events_it_has_seen() -> None:
    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        client = Client(engine, world)
        client.subscribe(APPS)
        client.subscribe(APP_A)
        await settle()
        world.reply(world.readings[0])
        await settle()
        assert await client.take()
        first, second = world.commit(*CHANGES[1]), world.commit(*CHANGES[0])
        await deliver(engine, first)
        await settle()
        assert [len(reading.queries) for reading in world.readings] == [1]
        world.reply(world.readings[0])
        await settle()
        assert not await client.take(), "the list is at 2, the application still at 0"
        await deliver(engine, second)
        await settle()
        world.reply(world.readings[0])
        await settle()
        assert await client.take()
        assert len(client.frames[-1].items) == 2

    run(story())


def test_a_stream_of_events_that_never_pauses_starves_nobody() -> None:
    """Every reading finds a newer event; frames come all the same."""

    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        client = Client(engine, world)
        for query in (APPS, APP_A):
            client.subscribe(query)
        following = asyncio.create_task(client.follow())
        for turn in range(200):
            await deliver(engine, world.commit(*CHANGES[turn % 3]))
            await settle(3)
            for reading in list(world.readings):
                # Between the snapshot and its arrival there is always one more.
                reading.snapshot = world.snapshot(reading)
                await deliver(engine, world.commit(*CHANGES[turn % 2]))
                world.reply(reading)
            await settle(3)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert len(client.frames) > 30

    run(story())


def test_two_halves_that_change_in_turn_do_not_chase_each_other() -> None:
    """While one half is read, the other changes: from then on they are read together."""

    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        client = Client(engine, world)
        for query in (APPS, APP_A, APP_B, VERSIONS_A):
            client.subscribe(query)
        await settle()
        world.reply(world.readings[0])
        await settle()
        assert await client.take()
        await deliver(engine, world.commit(*CHANGES[1]))
        await settle()
        for turn in range(20):
            (reading,) = world.readings
            await deliver(engine, world.commit(*CHANGES[2 - turn % 2]))
            world.reply(reading)
            await settle()
            if await client.take():
                break
        assert len(client.frames) == 2

    run(story())


def test_ordinary_reads_that_never_pause_starve_no_picture() -> None:
    """Readers of a watched answer keep renewing it ahead of the picture, as events go on."""

    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        client = Client(engine, world)
        for query in (APPS, APP_A):
            client.subscribe(query)
        following = asyncio.create_task(client.follow())
        readers: list[asyncio.Task[Any]] = []
        for turn in range(150):
            await deliver(engine, world.commit(*CHANGES[turn % 2]))
            readers += [asyncio.create_task(engine.read(query)) for query in (APPS, APP_A)]
            await settle(3)
            # The picture's reading was looked at before the readers' own, and comes back after them.
            *overtaking, picture = sorted(world.readings, key=lambda reading: len(reading.queries))
            picture.snapshot = world.snapshot(picture)
            for reading in overtaking:
                await deliver(engine, world.commit(*CHANGES[turn % 2]))
                world.reply(reading)
                await settle(3)
            world.reply(picture)
            await settle(3)
        await settle()
        while world.readings:
            world.reply(world.readings[0])
            await settle()
        following.cancel()
        await asyncio.gather(following, *readers, return_exceptions=True)
        assert len(client.frames) > 140  # hardly a turn without one
        assert all(reader.done() and not reader.exception() for reader in readers)

    run(story())


def test_a_service_that_is_down_keeps_back_no_other_services_pictures() -> None:
    async def story() -> None:
        world = World()
        engine = an_engine(world)
        client = Client(engine, world)
        client.subscribe(PLACEMENTS)
        await settle()
        assert await client.take()
        world.down.add("registry")
        client.subscribe(APPS)
        await deliver(engine, world.commit(*CHANGES[4]))
        await settle()
        assert await client.take()
        assert set(client.values) == {PLACEMENTS.message}
        world.down.clear()
        await asyncio.sleep(10)
        assert await client.take()
        assert client.is_current()

    run(story())


def test_a_query_that_fails_is_told_and_asked_again_without_an_event() -> None:
    async def story() -> None:
        world = World()
        engine = an_engine(world)
        client = Client(engine, world)
        client.subscribe(APP_A)
        await settle()
        assert await client.take()
        world.broken.add(APPS.message)
        name = client.subscribe(APPS)
        await settle()
        with pytest.raises(Torn):
            await client.take()
        assert client.values[name]["code"] == "internal_error"
        world.broken.clear()
        await asyncio.sleep(10)
        assert await client.take()
        assert client.is_current()

    run(story())


def test_a_missing_event_is_asked_for_even_if_no_other_follows() -> None:
    """The one that showed the gap was dropped because its owner could not be asked just then."""

    async def story() -> None:
        world = World()
        engine = an_engine(world)
        client = Client(engine, world)
        client.subscribe(APPS)
        await settle()
        assert await client.take()
        world.down.add("registry")
        world.commit(*CHANGES[0])
        await deliver(engine, world.commit(*CHANGES[1]))
        await asyncio.sleep(2)
        assert not await client.take()
        world.down.clear()
        await asyncio.sleep(10)
        assert await client.take()
        assert client.is_current()

    run(story())


def test_an_answer_just_made_is_never_the_one_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """If all others are watched, the newest would be; it would then hear of no event."""
    monkeypatch.setattr("libs.live.answers.MAX_ANSWERS", 2)

    async def story() -> None:
        world = World()
        engine = an_engine(world)
        client = Client(engine, world)
        for query in QUERIES:
            client.subscribe(query)
        await settle()
        await client.take()
        for change in CHANGES:
            await deliver(engine, world.commit(*change))
        await settle()
        while await client.take():
            pass
        assert client.is_current()

    run(story())


def test_a_forgotten_answer_is_fresh_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.live.answers.MAX_ANSWERS", 1)

    async def story() -> None:
        world = World()
        engine = an_engine(world)
        kept = await engine.read(APPS)
        assert engine.is_fresh(kept)
        await engine.read(APP_A)
        assert not engine.is_fresh(kept)

    run(story())


def test_nothing_is_left_when_everybody_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        world = World()
        engine = an_engine(world)
        clients = [Client(engine, world) for _ in range(3)]
        for client in clients:
            for query in QUERIES:
                client.subscribe(query)
        await settle()
        for change in CHANGES:
            await deliver(engine, world.commit(*change))
        # One leaves in the middle of a reading.
        world.by_hand = True
        await deliver(engine, world.commit(*CHANGES[0]))
        await settle()
        for client in clients:
            engine.leave(client.subscriber)
        for reading in list(world.readings):
            world.reply(reading)
        await settle()
        monkeypatch.setattr("libs.live.answers.MAX_ANSWERS", 0)
        world.by_hand = False
        await engine.read(registry.GetApp(org=ORG, app="c"))
        assert engine._pictures.open == {}
        assert engine._readings.running == {}
        assert len(engine.answers) == 1
        answers: Answers = engine.answers
        assert answers._watched == {}
        assert len(answers._by_topic) == 1
        assert all(not client.subscriber.holds for client in clients)

    run(story())
