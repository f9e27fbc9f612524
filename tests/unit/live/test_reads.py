"""Reads through the cache: shared, asked once, and never older than what was promised or heard (G5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.contracts import deploy, registry
from libs.contracts.envelope import Position
from libs.errors import NotCaughtUp, ServiceUnavailable
from libs.live.answers import Answer
from libs.live.engine import Engine
from libs.permissions import EVERYTHING, Visible
from tests.unit.live.world import (
    APP_A,
    APP_B,
    APPS,
    CHANGES,
    DEPLOY,
    IDENTITY,
    MEMBERS,
    ORG,
    QUERIES,
    REGISTRY,
    Client,
    World,
    an_engine,
    deliver,
    run,
    settle,
)

AT_1 = Position("registry", ORG, 1)


def reads(engine: Engine, *queries: Any) -> list[asyncio.Task[Answer]]:
    return [asyncio.create_task(engine.read(query)) for query in queries]


def test_callers_who_ask_the_same_share_one_reading() -> None:
    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        asking = reads(engine, *[APPS] * 20)
        await settle()
        assert len(world.readings) == 1
        world.reply(world.readings[0])
        answers = await asyncio.gather(*asking)
        assert len({id(answer) for answer in answers}) == 1
        assert await engine.read(APPS) is answers[0]
        assert len(world.asked) == 1

    run(story())


def test_callers_who_may_see_different_things_share_nothing() -> None:
    async def story() -> None:
        engine = an_engine(World())
        some = Visible(False, ("a",))
        answers = [
            await engine.read(registry.ListApps(org=ORG, visible=visible))
            for visible in (EVERYTHING, some, Visible(False, ("b",)), some)
        ]
        assert len({id(answer) for answer in answers}) == 3
        assert answers[1] is answers[3]

    run(story())


def test_who_asked_first_may_leave_and_the_others_get_their_answer() -> None:
    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        first, second = reads(engine, APPS, APPS)
        await settle()
        first.cancel()
        await settle()
        world.reply(world.readings[0])
        assert (await second).read_at == 0
        assert len(world.asked) == 1

    run(story())


def test_a_failed_reading_is_told_to_all_who_waited_and_kept_for_nobody() -> None:
    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        asking = reads(engine, APPS, APPS)
        await settle()
        world.fail(world.readings[0])
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(result) for result in results] == [ServiceUnavailable] * 2
        world.by_hand = False
        assert (await engine.read(APPS)).read_at == 0

    run(story())


def test_a_fault_is_never_served_from_the_cache() -> None:
    async def story() -> None:
        world = World(broken={APPS.message})
        engine = an_engine(world)
        answer = await engine.read(APPS)
        assert answer.problem
        assert not engine.is_fresh(answer)
        world.broken.clear()
        assert (await engine.read(APPS)).problem is None

    run(story())


def test_an_event_makes_stale_what_it_touches_and_nothing_else() -> None:
    async def story() -> None:
        world = World()
        engine = an_engine(world)
        answers = {query: await engine.read(query) for query in QUERIES}
        await deliver(engine, world.commit(*CHANGES[0]))
        await settle()
        fresh = {query for query, answer in answers.items() if engine.is_fresh(answer)}
        assert fresh == set(QUERIES) - {APPS, APP_A}

    run(story())


def test_the_same_topic_of_another_service_touches_nothing() -> None:
    async def story() -> None:
        world = World()
        engine = an_engine(world)
        answer = await engine.read(APPS)
        await deliver(engine, world.commit(DEPLOY, APPS.topics()))
        await settle()
        assert engine.is_fresh(answer)

    run(story())


def test_a_writer_reads_what_it_wrote_before_the_event_arrives() -> None:
    async def story() -> None:
        world = World()
        engine = an_engine(world)
        answer = await engine.read(APPS)
        world.commit(*CHANGES[0])
        assert engine.is_fresh(answer)
        engine.promise([AT_1])
        assert not engine.is_fresh(answer)
        assert (await engine.read(APPS)).read_at == 1
        assert engine.is_fresh(answer)

    run(story())


def test_a_reading_that_began_before_a_promise_does_not_answer_after_it() -> None:
    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        (before,) = reads(engine, APPS)
        await settle()
        world.readings[0].snapshot = world.snapshot(world.readings[0])
        world.commit(*CHANGES[0])
        engine.promise([AT_1])
        (after,) = reads(engine, APPS)
        await settle()
        assert len(world.readings) == 2
        world.reply(world.readings[1])
        assert (await after).read_at == 1
        # The older reading arrives last; what is newer stays.
        world.reply(world.readings[0])
        assert (await before).read_at == 1

    run(story())


def test_a_reading_that_began_before_an_event_does_not_answer_after_it() -> None:
    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        (before,) = reads(engine, APPS)
        await settle()
        world.readings[0].snapshot = world.snapshot(world.readings[0])
        await deliver(engine, world.commit(*CHANGES[0]))
        (after,) = reads(engine, APPS)
        await settle()
        for reading in list(world.readings):
            world.reply(reading)
        await before
        assert (await after).read_at == 1

    run(story())


def test_what_the_client_saw_elsewhere_is_not_gone_back_behind() -> None:
    async def story() -> None:
        world = World()
        engine = an_engine(world)
        answer = await engine.read(APPS)
        world.commit(*CHANGES[0])
        assert engine.is_fresh(answer)
        assert not engine.is_fresh(answer, [AT_1])
        assert (await engine.read(APPS, [AT_1])).read_at == 1

    run(story())


def test_a_version_of_another_service_goes_along_to_the_owner_until_its_answer_follows_from_it() -> None:
    """Registry's answers follow from rollouts: having heard of one here does not say that registry has."""

    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        asking = asyncio.create_task(engine.read(APPS))
        await settle()
        world.reply(world.readings[0])
        answer = await asking
        await deliver(engine, world.commit(*CHANGES[4]))
        seen = Position(*DEPLOY, 1)
        assert not engine.is_fresh(answer, [seen])
        asking = asyncio.create_task(engine.read(APPS, [seen]))
        await settle()
        assert world.readings[0].after == (seen,)
        world.reply(world.readings[0])
        assert engine.is_fresh(await asking, [seen])

    run(story())


def test_the_version_of_an_answer_is_one_at_which_it_is_right() -> None:
    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        (asking,) = reads(engine, APPS)
        await settle()
        world.readings[0].snapshot = world.snapshot(world.readings[0])
        # One that concerns it arrives while it is read.
        await deliver(engine, world.commit(*CHANGES[0]), world.commit(*CHANGES[3]))
        world.reply(world.readings[0])
        answer = await asking
        assert engine.holds_at(answer) == 0
        world.by_hand = False
        answer = await engine.read(APPS)
        await deliver(engine, world.commit(*CHANGES[3]))
        assert engine.holds_at(answer) == 3

    run(story())


def test_facts_nobody_here_has_heard_leave_no_answer_vouched_for() -> None:
    """A stream that is followed from its sixth fact on, and a snapshot from before the fifth."""

    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        (asking,) = reads(engine, APPS)
        await settle()
        world.readings[0].snapshot = world.snapshot(world.readings[0])
        world.commit(*CHANGES[0])
        await deliver(engine, world.commit(*CHANGES[3]))
        world.reply(world.readings[0])
        assert not engine.is_fresh(await asking)

    run(story())


def test_after_a_lost_line_everything_is_read_again() -> None:
    async def story() -> None:
        world = World(by_hand=True)
        engine = an_engine(world)
        for query in (APP_A, APP_B):
            asking = asyncio.create_task(engine.read(query))
            await settle()
            world.reply(world.readings[0])
            await asking
        under_way = asyncio.create_task(engine.read(APPS))
        await settle()
        world.readings[0].snapshot = world.snapshot(world.readings[0])
        world.commit(*CHANGES[0])
        await engine.resync(engine.followed())
        world.reply(world.readings[0])
        # The one under way was looked at before the line was back.
        assert not engine.is_fresh(await under_way)
        assert not engine.is_fresh(engine.answers.of(APP_A))
        world.by_hand = False
        assert (await engine.read(APP_A)).read_at == 1

    run(story())


def test_a_version_that_nobody_can_reach_is_refused_in_time() -> None:
    async def story() -> None:
        engine = an_engine(World(), followed_whole=frozenset({"identity"}))
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(NotCaughtUp):
            await engine.reach([Position(*IDENTITY, 10**9), Position("identity", "org_2", 10**9)])
        assert loop.time() - began < 4

    run(story())


def test_a_right_is_revoked_while_a_reading_of_the_same_stream_hangs() -> None:
    """Pictures wait for readings; revocations wait for nothing (G7)."""

    async def story() -> None:
        world = World()
        told: list[int] = []
        engine = an_engine(
            world, on_fact=lambda fact: told.append(fact.sequence), followed_whole=frozenset({"identity"})
        )
        client = Client(engine, world)
        client.subscribe(MEMBERS)
        await settle()
        assert await client.take()
        world.by_hand = True
        await deliver(engine, world.commit(IDENTITY, MEMBERS.topics()))
        await settle()
        assert len(world.readings) == 1
        await deliver(engine, world.commit(IDENTITY, MEMBERS.topics()))
        assert told == [1, 2]
        await engine.reach([Position(*IDENTITY, 2)])
        assert not await client.take()
        world.reply(world.readings[0])
        await settle()
        assert await client.take()
        assert client.is_current()

    run(story())


def test_a_fact_that_cannot_be_understood_keeps_back_none_behind_it() -> None:
    async def story() -> None:
        world = World()
        told: list[int] = []

        def on_fact(fact: Any) -> None:
            if fact.sequence == 1:
                raise KeyError("role")
            told.append(fact.sequence)

        engine = an_engine(world, on_fact=on_fact, followed_whole=frozenset({"identity"}))
        await deliver(engine, *(world.commit(IDENTITY) for _ in range(3)))
        assert told == [2, 3]

    run(story())


def test_every_query_of_the_world_reads_a_topic() -> None:
    assert all(query.topics() for query in QUERIES)
    assert REGISTRY.service == registry.ListApps.owner
    assert DEPLOY.service == deploy.ListPlacements.owner
