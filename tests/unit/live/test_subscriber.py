"""One client's side: only the newest for the slow, only what changed for the returning."""

from __future__ import annotations

from typing import Any

import orjson

from libs.contracts import registry
from libs.live.engine import Engine
from libs.live.subscriber import REMEMBERED
from libs.live.versions import from_text
from libs.permissions import Visible
from tests.unit.live.world import (
    APP_A,
    APP_B,
    APPS,
    CHANGES,
    ORG,
    PLACEMENTS,
    Client,
    World,
    an_engine,
    deliver,
    run,
    settle,
)


async def _watching(*queries: Any) -> tuple[World, Engine, Client]:
    """A client that has taken the first answers."""
    world = World()
    engine = an_engine(world)
    client = Client(engine, world)
    for query in queries:
        client.subscribe(query, query.topics()[0])
    await settle()
    while await client.take():
        pass
    assert client.is_current()
    return world, engine, client


def names(client: Client, frame: int = -1) -> list[str]:
    return sorted(name for name, _ in client.frames[frame].items)


def test_a_slow_client_gets_the_newest_picture_and_no_queue() -> None:
    async def story() -> None:
        world, engine, client = await _watching(APPS, APP_A, APP_B)
        taken = len(client.frames)
        for turn in range(100):
            await deliver(engine, world.commit(*CHANGES[turn % 2]))
            await settle()
        assert len(client.subscriber._waiting) == 3
        assert await client.take()
        assert not await client.take()
        assert len(client.frames) == taken + 1
        assert client.is_current()

    run(story())


def test_what_changed_and_changed_back_is_not_told() -> None:
    async def story() -> None:
        world, engine, client = await _watching(APPS)
        answer = next(iter(client.subscriber.holds.values()))
        first = answer.body
        for body in (b'"other"', first):
            answer.body, answer.etag = body, body.decode()
            if body == first:
                answer.etag = client.subscriber._now[APPS.topics()[0]]
            client.subscriber.push([APPS.topics()[0]], answer)
            client.subscriber.publish("registry/org_1=1")
        assert not await client.take()
        assert world.head(answer.stream) == 0
        assert engine.is_fresh(answer)

    run(story())


def test_a_returning_client_gets_exactly_what_changed_as_one_frame() -> None:
    async def story() -> None:
        world, engine, client = await _watching(APPS, APP_A, APP_B, PLACEMENTS)
        had = client.version
        for _ in range(3):
            await deliver(engine, world.commit(*CHANGES[0]))
            await settle()
            # Taken by a line that was dead: the client never saw it.
            client.subscriber.take()
        assert client.subscriber.resume(had)
        engine.rejoin(client.subscriber)
        await settle()
        assert await client.take()
        assert names(client) == sorted([APPS.topics()[0], APP_A.topics()[0]])
        assert not await client.take()
        assert client.is_current()

    run(story())


def test_a_returning_client_never_gets_half_a_picture() -> None:
    """It comes back in the middle of a reading."""

    async def story() -> None:
        world, engine, client = await _watching(APPS, APP_A)
        world.by_hand = True
        await deliver(engine, world.commit(*CHANGES[1]))
        await settle()
        second = world.commit(*CHANGES[0])
        # The list has been read at 2; the application is still at 0.
        world.reply(world.readings[0])
        await settle()
        assert client.subscriber.resume(client.version)
        engine.rejoin(client.subscriber)
        await settle()
        assert not await client.take()
        await deliver(engine, second)
        await settle()
        for reading in list(world.readings):
            world.reply(reading)
        await settle()
        assert await client.take()
        assert client.is_current()

    run(story())


def test_versions_that_are_unknown_too_old_or_of_other_subscriptions_start_over() -> None:
    async def story() -> None:
        world, engine, client = await _watching(APPS, APP_A)
        subscriber = client.subscriber
        assert not subscriber.resume("")
        assert not subscriber.resume("registry/org_1=0")
        oldest = client.version
        for turn in range(REMEMBERED + 1):
            assert subscriber.resume(oldest) == (turn < REMEMBERED)
            subscriber.sent = client.version
            await deliver(engine, world.commit(*CHANGES[0]))
            await settle()
            await client.take()
        newest = client.version
        assert subscriber.resume(newest)
        client.subscribe(APP_B)
        assert not subscriber.resume(newest)
        assert len(subscriber._past) <= REMEMBERED

    run(story())


def test_no_two_frames_of_a_connection_end_in_the_same_version() -> None:
    """Subscribing changes what a client has without any event; resuming must tell the two apart."""

    async def story() -> None:
        world = World()
        engine = an_engine(world)
        client = Client(engine, world)
        for query in (APPS, APP_A, APP_B):
            client.subscribe(query)
            await settle()
            await client.take()
        versions = [frame.after for frame in client.frames]
        assert len(set(versions)) == len(versions) == 3
        # The stream itself has not moved, and that is what a version says to the outside.
        assert len({from_text(version) for version in versions}) == 1

    run(story())


def test_narrowed_rights_change_the_answer_that_is_held() -> None:
    async def story() -> None:
        world, engine, client = await _watching(APPS)
        name = APPS.topics()[0]
        whole = client.subscriber.holds[name]
        await deliver(engine, world.commit(*CHANGES[0]))
        await settle()
        # What waits is of the old right: it must not be sent any more.
        client.subscribe(registry.ListApps(org=ORG, visible=Visible(False, ("a",))), name)
        assert client.subscriber._waiting == {}
        assert client.subscriber not in whole.watchers
        await settle()
        assert await client.take()
        assert client.subscriber.holds[name] is not whole

    run(story())


def test_what_was_unsubscribed_is_told_no_more() -> None:
    async def story() -> None:
        world, engine, client = await _watching(APPS, APP_A)
        await deliver(engine, world.commit(*CHANGES[0]))
        await settle()
        client.unsubscribe(APPS.topics()[0])
        assert await client.take()
        assert names(client) == [APP_A.topics()[0]]

    run(story())


def test_a_frame_is_json_whatever_the_client_calls_its_subscription() -> None:
    async def story() -> None:
        world = World()
        engine = an_engine(world)
        client = Client(engine, world)
        odd = ['"', "\\", 'a"b\\c', "ü", "\u2028", "\n", "\x7f", "</script>", ""]
        for name in odd:
            client.subscriber.holds.pop(name, None)
            engine.subscribe(client.subscriber, name, APPS)
        await settle()
        frame = orjson.loads(client.subscriber.take().frame())
        assert sorted(one["id"] for one in frame["set"]) == sorted(odd)

    run(story())
