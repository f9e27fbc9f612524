"""One fault at a time: a part that stands still, a service that dies at the worst moment, a message that
nobody can read. `chaos` has many at once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractChannel
from pymongo import MongoClient

from deploy.local import LocalPortal
from libs.bus import topology
from libs.contracts.deploy import VersionWentLive
from libs.contracts.envelope import Fact
from tests.conftest import FAST
from tests.portal import Person, a_slug, signed_in, somebody

Value = TypeVar("Value")
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPortal]:
    """A portal of its own, one process of each kind, so that nobody stands in for another."""
    with LocalPortal(tmp_path_factory.mktemp("faults"), port=0, demo=False, env=FAST) as running:
        yield running


@pytest.fixture
async def person(faulty: LocalPortal) -> AsyncIterator[Person]:
    found = await somebody(faulty.url)
    yield found
    await found.http.aclose()


@pytest.fixture
async def admin(faulty: LocalPortal) -> AsyncIterator[Person]:
    found = await signed_in(faulty.url, faulty.admin.email, faulty.admin.password)
    yield found
    await found.http.aclose()


# ---- a part stands still ----


@pytest.mark.parametrize("part", ["rabbitmq", "mongo"])
async def test_while_a_part_stands_still_what_is_cached_is_read_and_a_write_is_refused_whole(
    faulty: LocalPortal, person: Person, part: str
) -> None:
    org = await person.make_org()
    await person.make_app(org)
    cached = await person.call("GET", f"/v1/orgs/{org}/apps", 200)
    slug, key = a_slug("app"), a_slug("key")

    with frozen(faulty, part):
        assert (await person.call("GET", f"/v1/orgs/{org}/apps", 200)).json() == cached.json()
        refused = await create_app(person, org, slug, key)
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["content-type"] == "application/problem+json"
        uncached = await person.http.get(f"/v1/orgs/{org}/environments")
        assert uncached.status_code == 503, uncached.text

    done = await answered(lambda: create_app(person, org, slug, key))
    assert done.status_code == 201, done.text
    again = await create_app(person, org, slug, key)
    assert (again.status_code, again.json()) == (201, done.json())
    assert again.headers["mes-version"] == done.headers["mes-version"]
    assert [fact.data["app"] for fact in facts(faulty, "registry", org_id(faulty, org))].count(slug) == 1
    listed = await person.call(
        "GET", f"/v1/orgs/{org}/apps", 200, headers={"mes-after": done.headers["mes-version"]}
    )
    assert sorted(app["slug"] for app in listed.json()["items"]) == sorted(
        [slug, *(app["slug"] for app in cached.json()["items"])]
    )


async def test_a_command_that_outlived_its_caller_does_nothing_until_it_is_repeated(
    faulty: LocalPortal, person: Person
) -> None:
    org = await person.make_org()
    slug, key = a_slug("app"), a_slug("key")
    with frozen(faulty, "registry"):
        late = await create_app(person, org, slug, key)
        assert (late.status_code, late.json()["code"]) == (503, "answer_late"), late.text
        # With the message in its hands; the broker gives it to the next.
        await asyncio.to_thread(faulty.kill, "registry")
    await asyncio.to_thread(faulty.wait_ready)
    # Asked through the same connection to the broker, so the old message was taken before.
    assert (await answered(lambda: person.http.get(f"/v1/orgs/{org}/apps"))).json()["items"] == []
    done = await answered(lambda: create_app(person, org, slug, key))
    assert done.status_code == 201, done.text
    assert len(facts(faulty, "registry", org_id(faulty, org))) == 1


# ---- a service dies at the worst moment ----


async def test_what_a_service_could_not_tell_before_it_died_is_swept_up_by_its_successor(
    faulty: LocalPortal, person: Person
) -> None:
    org = await person.make_org()
    org_key = org_id(faulty, org)
    async with broker(faulty.amqp_admin_url) as channel:
        events = await channel.get_exchange(topology.EVENTS)
        queue = await channel.get_queue(topology.events_queue("audit"))
        # What is told now, audit does not hear.
        await queue.unbind(events, "registry.#")
        try:
            for _ in range(20):
                slug = await person.make_app(org)
                # Before it could note that the broker has the fact.
                await asyncio.to_thread(faulty.kill, "registry")
                if unsent(faulty, "registry", org_key):
                    break
                await asyncio.to_thread(faulty.wait_ready)
        finally:
            await queue.bind(events, "registry.#")
    assert unsent(faulty, "registry", org_key)
    assert slug not in {fact.data["app"] for fact in recorded(faulty, org_key)}

    async def is_recorded() -> bool:
        return slug in {fact.data["app"] for fact in recorded(faulty, org_key)}

    await eventually(is_recorded)
    # What was told to nobody before it comes with it, in order.
    assert [fact.id for fact in recorded(faulty, org_key)] == [
        fact.id for fact in facts(faulty, "registry", org_key)
    ]

    async def is_marked() -> bool:
        return not unsent(faulty, "registry", org_key)

    await eventually(is_marked)


# ---- a message that nobody can read ----


async def test_what_is_no_event_is_parked_listed_and_sent_back(faulty: LocalPortal, admin: Person) -> None:
    body = f"no event {a_slug()}"
    async with broker(faulty.amqp_admin_url) as channel:
        events = await channel.get_exchange(topology.EVENTS)
        await events.publish(aio_pika.Message(body.encode()), "registry.nothing.org_nobody")
    await there_and_back(admin, "audit", body)


@pytest.mark.parametrize("queue", ["registry.create_app", "deploy.start_rollout"])
async def test_what_is_no_command_is_parked_listed_and_sent_back(
    faulty: LocalPortal, admin: Person, queue: str
) -> None:
    body = f"no command {a_slug()}"
    async with broker(faulty.amqp_admin_url) as channel:
        commands = await channel.get_exchange(topology.COMMANDS)
        await commands.publish(aio_pika.Message(body.encode()), queue)
    parked = await there_and_back(admin, queue.split(".")[0], body)
    assert parked["queue"] == queue


async def test_an_event_that_was_parked_for_what_was_missing_is_applied_when_it_is_sent_back(
    faulty: LocalPortal, admin: Person
) -> None:
    org = f"org_{a_slug('o').replace('-', '')}"
    first, second = went_live(org, 1), went_live(org, 2)
    async with broker(faulty.amqp_url("deploy")) as channel:
        # The last of its tries: deploy knows nothing of this organization, so the gap cannot be filled.
        await tell(channel, second, "deploy", {topology.ATTEMPT: topology.MAX_ATTEMPTS})
        by_registry = await listed_as(admin, "registry", second.encode().decode())
        by_audit = await listed_as(admin, "audit", second.encode().decode())
        assert by_registry["attempts"] == topology.MAX_ATTEMPTS
        assert recorded(faulty, org, "deploy") == []
        await tell(channel, first, "deploy")

    async def first_is_there() -> bool:
        return [fact.sequence for fact in recorded(faulty, org, "deploy")] == [1]

    await eventually(first_is_there)
    for parked in (by_registry, by_audit):
        await replay(admin, parked)

    async def both_are_there() -> bool:
        marked = [fact.data["live"] for fact in facts(faulty, "registry", org)]
        entries = [fact.sequence for fact in recorded(faulty, org, "deploy")]
        return marked == ["1.0.0", "2.0.0"] and entries == [1, 2]

    await eventually(both_are_there)
    assert not [found for found in await parked_now(admin) if found["body"] == by_audit["body"]]


@pytest.mark.parametrize(
    "headers",
    [{}, {topology.ATTEMPT: 1}, {topology.ATTEMPT: 1, topology.SENDER: "deploy"}],
    ids=["as it is", "as if it were a copy", "as if it were a copy of deploy's"],
)
async def test_an_event_in_the_name_of_another_service_is_parked_also_when_it_is_sent_back(
    faulty: LocalPortal, admin: Person, headers: dict[str, Any]
) -> None:
    org = f"org_{a_slug('o').replace('-', '')}"
    fact = went_live(org, 1)
    async with broker(faulty.amqp_url("registry")) as channel:
        events = await channel.get_exchange(topology.EVENTS, ensure=False)
        await events.publish(message_of(fact, "registry", headers), f"registry.forged.{org}")
    parked = await there_and_back(admin, "audit", fact.encode().decode())
    assert "was sent by registry" in parked["reason"]
    assert recorded(faulty, org, "deploy") == []


# ---- helpers ----


@contextmanager
def frozen(portal: LocalPortal, name: str) -> Iterator[None]:
    """The process stands still: it holds its connections and answers nothing."""
    pid = portal.processes[name]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if portal.processes.get(name) == pid:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def broker(url: str) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(url) as connection:
        yield await connection.channel(publisher_confirms=True, on_return_raises=True)


async def create_app(person: Person, org: str, slug: str, key: str) -> httpx.Response:
    return await person.http.post(
        f"/v1/orgs/{org}/apps",
        json={"slug": slug, "name": slug, "kind": "remote"},
        headers={"idempotency-key": key},
        timeout=WITHIN_S,
    )


async def answered(ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """As a client does it: again after a 503."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        response = await ask()
        if response.status_code != 503 or time.monotonic() > deadline:
            return response
        await asyncio.sleep(0.2)


async def eventually(fact: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not await fact():
        assert time.monotonic() < deadline, f"it never came to {fact.__name__}"
        await asyncio.sleep(0.1)


async def parked_now(admin: Person) -> list[dict[str, Any]]:
    found = await admin.call("GET", "/v1/operations/dead", 200)
    return list(found.json()["items"])


async def listed_as(admin: Person, service: str, body: str, after: str = "") -> dict[str, Any]:
    """The parked message of that body, put aside after that moment."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        found = [one for one in await parked_now(admin) if (one["service"], one["body"]) == (service, body)]
        if found and found[0]["parked_at"] > after:
            assert len(found) == 1, found
            return found[0]
        assert time.monotonic() < deadline, f"not parked by {service}: {body[:200]}"
        await asyncio.sleep(0.1)


async def replay(admin: Person, parked: dict[str, Any]) -> None:
    assert parked["id"]
    sent = {"service": parked["service"], "ids": [parked["id"]]}
    done = await admin.call("POST", "/v1/operations/dead/replay", 200, json=sent)
    assert done.json() == {"replayed": [parked["id"]]}


async def there_and_back(admin: Person, service: str, body: str) -> dict[str, Any]:
    """It is parked; sent back, it is processed again, which for this one means that it is parked again."""
    parked = await listed_as(admin, service, body)
    # Looking changes nothing.
    assert await listed_as(admin, service, body) == parked
    await replay(admin, parked)
    again = await listed_as(admin, service, body, after=parked["parked_at"])
    assert again["reason"] == parked["reason"]
    return again


def went_live(org: str, sequence: int) -> Fact:
    event = VersionWentLive(
        org=org,
        environment="production",
        app="orders",
        rollout=f"rol_{sequence}",
        version=f"{sequence}.0.0",
        previous=f"{sequence - 1}.0.0" if sequence > 1 else None,
    )
    return Fact(
        service="deploy",
        org=org,
        sequence=sequence,
        type=event.message,
        subject=event.resource(),
        time=datetime.now(UTC),
        data=event.model_dump(mode="json"),
        topics=event.topics(),
    )


def message_of(fact: Fact, user: str, headers: dict[str, Any] | None = None) -> aio_pika.Message:
    return aio_pika.Message(fact.encode(), message_id=fact.id, user_id=user, headers=headers or {})


async def tell(
    channel: AbstractChannel, fact: Fact, user: str, headers: dict[str, Any] | None = None
) -> None:
    events = await channel.get_exchange(topology.EVENTS, ensure=False)
    await events.publish(message_of(fact, user, headers), f"{fact.type}.{fact.org}")


def database(portal: LocalPortal) -> MongoClient[dict[str, Any]]:
    return MongoClient(portal.mongo_admin_url, tz_aware=True)


def org_id(portal: LocalPortal, slug: str) -> str:
    with database(portal) as client:
        found = client["identity"]["organizations"].find_one({"slug": slug})
    assert found
    return str(found["org"])


def facts(portal: LocalPortal, service: str, org: str) -> list[Fact]:
    """The journal of a service for one organization."""
    with database(portal) as client:
        rows = client[service]["journal"].find({"org": org}).sort("_id", 1)
        return [Fact.decode(bytes(body)) for row in rows for body in row["bodies"]]


def unsent(portal: LocalPortal, service: str, org: str) -> int:
    """Rows of the journal that wait in the outbox."""
    with database(portal) as client:
        return sum(
            row.startswith(org) for parcel in client[service]["outbox"].find() for row in parcel["rows"]
        )


def recorded(portal: LocalPortal, org: str, service: str = "registry") -> list[Fact]:
    """The facts of a service that audit has entries of, in the order of its log."""
    with database(portal) as client:
        rows = client["audit"]["entries"].find({"org": org, "service": service}).sort("ordinal", 1)
        return [
            Fact(
                service=row["service"],
                org=org,
                sequence=row["sequence"],
                type=row["action"],
                subject=row["resource"],
                time=row["occurred_at"],
                data={"app": row["resource"].split("/")[1]} if "/" in row["resource"] else {},
            )
            for row in rows
        ]
