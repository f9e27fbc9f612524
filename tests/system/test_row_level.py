"""Everybody sees exactly their part: in every list, live answer, page of the log and event, and in errors.

Organizations, teams, roles, grants and limited keys by dice. What must be seen is computed by the permission
function over grants that the test itself keeps; see `rows` and `questions`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from deploy.local import LocalPortal
from libs.bus.rpc import Asker
from libs.contracts import audit, deploy, registry
from libs.contracts.base import Caller, Query, service_caller
from libs.errors import Refused
from libs.permissions import EVERYTHING, Grant, Visible
from tests.portal import somebody
from tests.system.live import LiveClient
from tests.system.questions import (
    WHOLE_PAGE,
    Json,
    Question,
    asked_over_http,
    questions,
    told,
    walked,
)
from tests.system.rows import ENVIRONMENTS, Reader, World, a_world

SEEDS = [21, 22, 23]
STEPS = 6
WITHIN_S = 45.0
# How long nothing more may come before it is taken as said that nothing does.
QUIET_S = 0.4


async def eventually(look: Callable[[], Awaitable[list[str]]], world: World) -> None:
    """Until a look finds nothing wrong."""
    deadline = time.monotonic() + WITHIN_S
    while wrong := await look():
        if time.monotonic() > deadline:
            raise AssertionError("\n".join([f"{len(wrong)} differ", *wrong[:10], *world.done]))
        await asyncio.sleep(0.1)


def difference(name: str, seen: Any, wanted: Any) -> list[str]:
    return [] if seen == wanted else [f"{name}: saw {str(seen)[:700]}\n   wanted {str(wanted)[:700]}"]


def names_it(text: str, app: str) -> bool:
    return re.search(rf"(?<![a-z0-9-]){app}(?![a-z0-9-])", text) is not None


# ---- lists ----


async def everything(world: World, asked: list[Question]) -> dict[str, Any]:
    """As the owner sees it."""
    return (await asked_over_http(world.owner.http, asked, lambda: WHOLE_PAGE)).answers


async def lists_are_exact(world: World) -> int:
    """Every list of every reader, in pages of one to three; returns how many answers were compared."""
    asked = questions(world, world.apps)
    compared = 0

    async def look(reader: Reader) -> list[str]:
        nonlocal compared
        there = await everything(world, asked)
        found = await asked_over_http(reader.http, asked, lambda: world.dice.randint(1, 3))
        wrong = []
        for question in asked:
            wanted = question.left(reader, there[question.name])
            if not world.grants(reader):
                wanted = "organization_not_found"
            compared += 1
            wrong += difference(f"{reader.name} {question.path}", found.answers[question.name], wanted)
        text = "\n".join(found.text)
        for app in world.apps:
            if world.knows_nothing_of(reader, app) and names_it(text, app):
                wrong.append(f"{reader.name} was told of {app}")
        return wrong

    # Where versions are live is marked by registry when it hears of it.
    await asyncio.gather(*(eventually(lambda reader=reader: look(reader), world) for reader in world.readers))  # type: ignore[misc]
    return compared


# ---- the log ----


def searches(world: World) -> list[Json]:
    dice = world.dice
    app, environment = dice.choice(world.apps), dice.choice(ENVIRONMENTS)
    return [
        {},
        {"action": "deploy.*"},
        {"action": "registry.version_published"},
        {"actor": world.owner.id, "action": "registry.*"},
        {"resource": f"{world.slug}/{app}"},
        {"resource": f"{world.slug}/{app}/{environment}"},
        {"resource": f"{world.slug}/app-*"},
        {"resource": world.slug, "action": "registry.*"},
        {"outcome": "done", "resource": f"{world.slug}/{app}"},
        {"outcome": "refused"},
        {
            "since": "2020-01-01T00:00:00Z",
            "until": "2099-01-01T00:00:00Z",
            "action": "deploy.version_went_live",
        },
    ]


async def log_is_exact(world: World) -> int:
    """Every search of every reader. The log grows as refused attempts are noted, so of what came after the
    owner's look only that it may be seen."""
    entries = f"{world.below}/audit/events"
    compared = 0
    for search in searches(world):
        there = await walked(world.owner.http, entries, WHOLE_PAGE, **search)
        known = {entry["id"] for entry in there}

        async def look(
            reader: Reader, search: Json = search, there: Any = there, known: set[str] = known
        ) -> None:
            size = world.dice.choice([2, 3, 7])
            seen = await walked(reader.http, entries, size, **search)
            if not world.grants(reader):
                assert seen == "organization_not_found"
            elif not world.anywhere(reader, "audit:read"):
                assert seen == "permission_missing"
            else:
                may_see = [one for one in there if _may_see(world, reader, "audit:read", one["resource"])]
                assert not isinstance(seen, str), (reader.name, search, seen)
                assert [one for one in seen if one["id"] in known] == may_see, (
                    reader.name,
                    search,
                    world.done,
                )
                assert len({one["id"] for one in seen}) == len(seen), "an entry twice"
                assert all(_may_see(world, reader, "audit:read", one["resource"]) for one in seen)

        await asyncio.gather(*(look(reader) for reader in world.readers))
        compared += len(world.readers)
    return compared


def _may_see(world: World, reader: Reader, permission: str, resource: str) -> bool:
    return world.may(reader, permission, resource.removeprefix(world.id).removeprefix("/"))


async def log_holds(world: World, facts: dict[str, Json]) -> None:
    """Waits until the log has every fact that was told."""

    async def look() -> list[str]:
        seen = await walked(world.owner.http, f"{world.below}/audit/events", WHOLE_PAGE)
        missing = {name for name in facts if not name.startswith("audit:")} - {one["id"] for one in seen}
        return sorted(missing)

    await eventually(look, world)


# ---- events ----


@asynccontextmanager
async def listening(
    http: httpx.AsyncClient, path: str, after: str | None
) -> AsyncIterator[asyncio.Queue[Json]]:
    """Events as they come; the whole past first, where `after` is empty."""
    came: asyncio.Queue[Json] = asyncio.Queue()
    opened = asyncio.Event()

    async def read() -> None:
        headers = {} if after is None else {"last-event-id": after}
        timeout = httpx.Timeout(20, read=None)
        async with http.stream("GET", path, headers=headers, timeout=timeout) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for line in answer.aiter_lines():
                opened.set()
                if line.startswith("data: {") and line != "data: {}":
                    came.put_nowait(json.loads(line.removeprefix("data: ")))

    task = asyncio.create_task(read())
    try:
        waiting = asyncio.create_task(opened.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=WITHIN_S)
        assert opened.is_set(), f"{path} did not open"
        yield came
    finally:
        task.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)


async def received(came: asyncio.Queue[Json], wanted: set[str]) -> list[Json]:
    """What came, until all that is wanted has and nothing more does."""
    facts: list[Json] = []
    deadline = time.monotonic() + WITHIN_S
    while True:
        missing = wanted - {fact["id"] for fact in facts}
        assert not missing or time.monotonic() < deadline, f"did not come: {sorted(missing)[:10]}"
        try:
            async with asyncio.timeout(1.0 if missing else QUIET_S):
                facts.append(await came.get())
        except TimeoutError:
            if not missing:
                return facts


async def all_facts(world: World, asker: Asker) -> dict[str, Json]:
    """Everything that was told so far, by id, as the owner hears it; nothing of it is left out."""
    wanted: set[str] = set()
    for service in ("identity", "registry", "deploy", "audit"):
        head = (await asker.heads(service, (world.id,)))[world.id]
        wanted |= {f"{service}:{world.id}:{number}" for number in range(1, head + 1)}
    async with listening(world.owner.http, f"{world.below}/events", "") as came:
        return {fact["id"]: fact for fact in await received(came, wanted)}


# What it takes to see an event, as this test has it: the permission, and the fields that name the part.
NEEDS = {
    "registry.app_": ("app:read", ("app",)),
    "registry.version_published": ("version:read", ("app",)),
    "registry.versions_placed": ("rollout:read", ("app", "environment")),
    "deploy.environment_": ("environment:read", ()),
    "deploy.rollout_": ("rollout:read", ("app", "environment")),
    "deploy.version_went_live": ("rollout:read", ("app", "environment")),
    "identity.role_assigned": ("assignment:read", ("path",)),
    "identity.assignment_removed": ("assignment:read", ("path",)),
    "identity.role_": ("role:read", ()),
    "identity.team_": ("team:read", ()),
    "identity.member_set": ("member:read", ()),
    "identity.member_removed": ("member:read", ()),
    "identity.member_invited": ("member:invite", ()),
    "identity.service_account_": ("account:read", ()),
    "identity.key": ("account:read", ()),
    "audit.entries_recorded": ("audit:read", ()),
}


def may_hear(world: World, reader: Reader, fact: Json) -> bool:
    needs = next((needs for name, needs in NEEDS.items() if fact["type"].startswith(name)), None)
    if needs is None:
        # Few: what happens to the organization itself, to invitations, and refused attempts.
        return _may_see(world, reader, fact["permission"], fact["subject"])
    permission, fields = needs
    return world.may(reader, permission, "/".join(fact["data"][name] for name in fields))


def for_reader(world: World, reader: Reader, facts: dict[str, Json]) -> dict[str, Json]:
    return {name: fact for name, fact in facts.items() if may_hear(world, reader, fact)}


def check_events(world: World, reader: Reader, seen: list[Json], facts: dict[str, Json]) -> None:
    wanted = for_reader(world, reader, facts)
    assert len({fact["id"] for fact in seen}) == len(seen), "an event twice"
    assert {fact["id"]: fact for fact in seen if fact["id"] in facts} == wanted, (reader.name, world.done)
    assert all(may_hear(world, reader, fact) for fact in seen)
    text = json.dumps(seen)
    for app in world.apps:
        if world.knows_nothing_of(reader, app):
            assert not names_it(text, app), f"{reader.name} heard of {app}"


async def events_are_exact(world: World, asker: Asker) -> int:
    facts = await all_facts(world, asker)
    await log_holds(world, facts)

    async def look(reader: Reader) -> None:
        if not world.grants(reader):
            assert (await reader.http.get(f"{world.below}/events")).status_code == 404
            return
        async with listening(reader.http, f"{world.below}/events", "") as came:
            check_events(world, reader, await received(came, set(for_reader(world, reader, facts))), facts)

    await asyncio.gather(*(look(reader) for reader in world.readers))
    return len(facts) * len(world.readers)


# ---- live answers ----


class Watching:
    """One reader's socket with every question on it."""

    def __init__(self, world: World, reader: Reader, asked: list[Question], client: LiveClient) -> None:
        self.world, self.reader, self.asked, self.client = world, reader, asked, client

    @classmethod
    async def open(cls, world: World, reader: Reader, asked: list[Question]) -> Watching:
        watching = cls(world, reader, asked, await LiveClient.open(reader.gateway, reader.token))
        for question in asked:
            await watching.ask(question)
        await watching.client.subscribe("log", "audit.list_entries", org=world.slug, limit=WHOLE_PAGE)
        return watching

    async def ask(self, question: Question) -> None:
        args = {"org": self.world.slug, **question.args}
        if question.listed:
            args["limit"] = WHOLE_PAGE
        await self.client.subscribe(question.name, question.query, **args)

    async def again(self) -> None:
        """Asks what was refused: a subscription that ended does not come back by itself."""
        refused = [
            one
            for one in self.asked
            if self.seen(one.name) in ("permission_missing", "organization_not_found")
        ]
        for question in refused:
            del self.client.answers[question.name]
            await self.ask(question)
        if isinstance(self.seen("log"), str):
            del self.client.answers["log"]
            await self.client.subscribe("log", "audit.list_entries", org=self.world.slug, limit=WHOLE_PAGE)

    def seen(self, name: str) -> Any:
        answer = self.client.answers.get(name)
        if answer is None:
            return "no answer yet"
        if "error" in answer:
            return str(answer["error"]["code"])
        value = answer["value"]
        return told(value["items"] if isinstance(value, dict) and "next" in value else value)

    def wrong(self, there: dict[str, Any], log: list[Json]) -> list[str]:
        if self.client.fault:
            raise self.client.fault
        world, reader = self.world, self.reader
        known = bool(world.grants(reader))
        found: list[str] = []
        for question in self.asked:
            wanted = question.left(reader, there[question.name]) if known else "organization_not_found"
            found += difference(f"{reader.name} watches {question.name}", self.seen(question.name), wanted)
        seen = self.seen("log")
        if not known or not world.anywhere(reader, "audit:read"):
            wanted = "permission_missing" if known else "organization_not_found"
            return found + difference(f"{reader.name} watches the log", seen, wanted)
        if isinstance(seen, str):
            return [*found, f"{reader.name} watches the log: {seen}"]
        ids = {entry["id"] for entry in log}
        newest = [one["id"] for one in seen if one["id"] in ids]
        wanted = [one["id"] for one in log if _may_see(world, reader, "audit:read", one["resource"])]
        found += difference(f"{reader.name} watches the log", newest, wanted[: len(newest)])
        if len(seen) < WHOLE_PAGE and len(newest) < len(wanted):
            found.append(f"{reader.name} misses entries")
        if not all(_may_see(world, reader, "audit:read", one["resource"]) for one in seen):
            found.append(f"{reader.name} sees entries that are not theirs")
        text = json.dumps([*self.client.answers.values()])
        return found + [
            f"{reader.name} was shown {app}"
            for app in world.apps
            if world.knows_nothing_of(reader, app) and names_it(text.replace(*_paths(world, app)), app)
        ]


def _paths(world: World, app: str) -> tuple[str, str]:
    """The names of our own subscriptions are no secret to who made them."""
    return f"{world.below}/apps/{app}", "asked"


async def live_is_exact(world: World, watches: list[Watching], asked: list[Question]) -> int:
    async def look() -> list[str]:
        there = await everything(world, asked)
        log = await walked(world.owner.http, f"{world.below}/audit/events", WHOLE_PAGE)
        return [one for watching in watches for one in watching.wrong(there, log)]

    await eventually(look, world)
    return len(watches) * (len(asked) + 1)


# ---- the tests ----


@pytest.fixture
async def asker(portal: LocalPortal) -> AsyncIterator[Asker]:
    asker = Asker(portal.amqp_url("gateway"), "row level test")
    await asker.start()
    await asker.opened(10)
    yield asker
    await asker.stop()


@pytest.mark.parametrize("seed", SEEDS)
async def test_everybody_sees_exactly_their_part(portal: LocalPortal, asker: Asker, seed: int) -> None:
    print(f"seed {seed}")
    world = await a_world(portal, seed)
    counts = {
        "lists": await lists_are_exact(world),
        "events": await events_are_exact(world, asker),
        "searches": await log_is_exact(world),
    }
    # And while rights and content change under those who watch.
    asked = questions(world, world.apps)
    watches = [await Watching.open(world, reader, asked) for reader in world.readers]
    counts["live"] = await live_is_exact(world, watches, asked)
    for step in range(STEPS):
        await (world.change_rights() if step % 3 else world.change_content())
        for watching in watches:
            await watching.again()
        counts["live"] += await live_is_exact(world, watches, asked)
    counts["lists"] += await lists_are_exact(world)
    for watching in watches:
        await watching.client.close()
    await world.close()
    print(f"seed {seed}: {len(world.readers)} readers, compared {counts}")


async def test_events_reach_those_who_may_see_them_as_they_happen(portal: LocalPortal, asker: Asker) -> None:
    world = await a_world(portal, 31)
    before = await all_facts(world, asker)
    path = f"{world.below}/events"
    listeners = [listening(reader.http, path, None) for reader in world.readers if world.grants(reader)]
    readers = [reader for reader in world.readers if world.grants(reader)]
    queues = [await listener.__aenter__() for listener in listeners]
    for _ in range(3):
        await world.change_content()
    after = await all_facts(world, asker)
    new = {name: fact for name, fact in after.items() if name not in before}
    # What registry and audit made of earlier events may have come before or after a stream was opened.
    sure = {
        name: fact for name, fact in new.items() if fact["type"].startswith(("deploy.", "registry.version_p"))
    }
    for reader, queue in zip(readers, queues, strict=True):
        seen = await received(queue, set(for_reader(world, reader, sure)))
        check_events(world, reader, [fact for fact in seen if fact["id"] in sure], sure)
        assert all(may_hear(world, reader, fact) for fact in seen)
    assert any(for_reader(world, reader, sure) != sure for reader in readers)
    for listener in listeners:
        await listener.__aexit__(None, None, None)
    await world.close()


@pytest.fixture
async def small(portal: LocalPortal) -> AsyncIterator[World]:
    """No dice: two applications, and a member who holds nothing yet."""
    world = await a_world(portal, 0, filled=False)
    await world.make_canary()
    for app in ("mine", "theirs"):
        await world.owner.make_app(world.slug, app)
        world.apps.append(app)
        world.versions[app] = []
        for number in range(2):
            await world.publish(app, number)
            for environment in ("staging", "production"):
                await world.owner.roll_out(world.slug, app, f"1.{number}.0", environment)
    person = await somebody(portal.gateways[0])
    await world.owner.invite(world.slug, person, "member")
    world.members[person.id] = "member"
    world.people.append(person)
    world.readers.append(Reader("member", person.id, person.token, person.http, portal.gateways[0]))
    yield world
    await world.close()


async def test_pages_miss_and_repeat_nothing_while_rows_come_and_go(small: World) -> None:
    """Rows that were there all the time are in the walk once; it goes on as others come and go."""
    world, reader = small, small.readers[0]
    apps = [f"app-{number:02}" for number in range(0, 24, 2)]
    for app in apps:
        await world.owner.make_app(world.slug, app)
        await world.assign(reader.subject, "viewer", app)
        await world.owner.publish(world.slug, app, "1.0.0")
        await world.owner.roll_out(world.slug, app, "1.0.0", "staging")
        await world.assign(reader.subject, "admin", app)
    came = iter(range(1, 24, 2))
    spare = list(world.assignments)[4::5]

    async def stir() -> None:
        """One row comes before, after or where the walk is; another goes."""
        app = f"app-{next(came):02}"
        await world.owner.make_app(world.slug, app)
        await world.assign(reader.subject, "admin", app)
        await world.owner.publish(world.slug, app, "1.0.0")
        await world.owner.roll_out(world.slug, app, "1.0.0", "staging")
        environment = {"slug": f"env-{app}", "name": "New"}
        await world.owner.call("POST", f"{world.below}/environments", 201, json=environment)
        if spare:
            await world.unassign(spare.pop())

    async def stirred(path: str, name: str) -> None:
        there = await walked(reader.http, path, WHOLE_PAGE)
        seen: list[str] = []
        cursor, turned = None, 0
        while True:
            params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await reader.http.get(path, params=params)).json()
            seen += [row[name] for row in page["items"]]
            cursor, turned = page["next"], turned + 1
            if cursor is None:
                break
            if turned in (2, 4):
                await stir()
        stayed = {row[name] for row in there} & {
            row[name] for row in await walked(reader.http, path, WHOLE_PAGE)
        }
        assert len(seen) == len(set(seen)), f"{path} repeats"
        assert stayed <= set(seen), f"{path} misses {stayed - set(seen)}"
        assert len(stayed) >= 3, f"{path} was hardly walked"

    await stirred(f"{world.below}/apps", "slug")
    await stirred(f"{world.below}/environments/staging/apps", "app")
    await stirred(f"{world.below}/environments/staging/rollouts", "id")
    await stirred(f"{world.below}/assignments", "id")
    await stirred(f"{world.below}/audit/events", "id")
    await stirred(f"{world.below}/environments", "slug")


async def test_every_list_has_pages_of_one_to_two_hundred(small: World) -> None:
    account = (
        await small.owner.call(
            "POST", f"{small.below}/service-accounts", 201, json={"slug": "ci", "name": "CI"}
        )
    ).json()["id"]
    keys = f"{small.below}/service-accounts/{account}/keys"
    made = [
        (await small.owner.call("POST", keys, 201, json={"name": f"{number}"})).json()["id"]
        for number in range(4)
    ]
    assert [key["id"] for key in await walked(small.owner.http, keys, 1)] == made
    more = {await small.owner.make_org() for _ in range(3)}
    assert {org["slug"] for org in await walked(small.owner.http, "/v1/orgs", 1)} == {small.slug, *more}
    lists = [one.path for one in questions(small, small.apps) if one.listed]
    for path in [*lists, keys, "/v1/orgs", f"{small.below}/audit/events", f"{small.below}/invitations"]:
        for limit in (0, -1, 201):
            refused = await small.owner.http.get(path, params={"limit": limit})
            assert refused.status_code == 422, (path, limit, refused.text)
        page = (await small.owner.call("GET", path, 200, params={"limit": 1})).json()
        assert "next" in page, path


async def test_what_cannot_be_seen_is_as_what_is_not_there(small: World) -> None:
    """Each attempt on an application is answered, and noted in the log, in the very same words."""
    world, reader = small, small.readers[0]
    await world.assign(reader.subject, "admin", "mine")
    rollouts = await walked(world.owner.http, f"{world.below}/environments/production/rollouts", 50)
    theirs = next(one["id"] for one in rollouts if one["app"] == "theirs")
    archive = {"file": ("build.tar.gz", b"x")}

    async def attempts(app: str, rollout: str) -> list[Any]:
        at, env = f"{world.below}/apps/{app}", f"{world.below}/environments/production"
        requests: list[tuple[str, str, dict[str, Any]]] = [
            ("GET", at, {}),
            ("PATCH", at, {"json": {"name": "New"}}),
            ("GET", f"{at}/versions", {}),
            ("GET", f"{at}/versions/1.0.0", {}),
            ("POST", f"{at}/versions", {"files": archive, "data": {"version": "1.0.0"}}),
            ("POST", f"{env}/rollouts", {"json": {"app": app, "version": "1.0.0"}}),
            ("POST", f"{env}/apps/{app}/rollback", {}),
            ("GET", f"{world.below}/rollouts/{rollout}", {}),
            ("GET", f"{world.below}/audit/events", {"params": {"resource": f"{world.slug}/{app}"}}),
        ]
        answers = []
        for method, path, content in requests:
            answer = await reader.http.request(method, path, **content)
            body = {name: value for name, value in answer.json().items() if name != "trace_id"}
            said = json.dumps(body).replace(app, "APP").replace(rollout, "ROLLOUT").replace(world.id, "ORG")
            answers.append((answer.status_code, said))
        return answers

    there = await attempts("theirs", theirs)
    assert there == await attempts("nothing", "rol_absent")
    assert {status for status, _ in there} == {200, 403, 404}

    async def notes(app: str) -> list[tuple[str, str, str, str]]:
        found = await walked(
            world.owner.http,
            f"{world.below}/audit/events",
            50,
            resource=f"{world.slug}/{app}",
            outcome="refused",
        )
        return sorted(
            (one["action"], one["summary"], one["resource"].replace(app, "APP"), json.dumps(one["data"]))
            for one in found
        )

    async def noted() -> list[str]:
        hidden, absent = await notes("theirs"), await notes("nothing")
        return [] if len(hidden) == len(absent) == 7 else [f"{hidden} {absent}"]

    await eventually(noted, world)
    assert await notes("theirs") == await notes("nothing")


async def test_a_right_on_one_environment_is_enough_to_roll_out_there(small: World) -> None:
    world, reader = small, small.readers[0]
    await world.assign(reader.subject, "developer", "mine/staging")
    staging, production = (f"{world.below}/environments/{name}" for name in ("staging", "production"))
    body = {"app": "mine", "version": "1.0.0"}
    made = await reader.http.post(f"{staging}/rollouts", json=body)
    assert made.status_code == 201, made.text
    assert (await reader.http.post(f"{staging}/apps/mine/rollback")).status_code == 201
    assert (await reader.http.get(f"{world.below}/rollouts/{made.json()['id']}")).json()["version"] == "1.0.0"
    assert {one["app"] for one in await walked(reader.http, f"{staging}/rollouts", 1)} == {"mine"}
    assert [one["app"] for one in await walked(reader.http, f"{staging}/apps", 1)] == ["mine"]
    # Nowhere else, of nothing else, and the application as a whole is still not theirs to look at.
    assert (await reader.http.post(f"{production}/rollouts", json=body)).status_code == 403
    other = {"app": "theirs", "version": "1.0.0"}
    assert (await reader.http.post(f"{staging}/rollouts", json=other)).status_code == 403
    assert await walked(reader.http, f"{production}/rollouts", 1) == []
    assert (await reader.http.get(f"{world.below}/apps/mine")).status_code == 403
    assert await walked(reader.http, f"{world.below}/apps", 1) == []


async def test_a_service_believes_nothing_that_is_said_of_what_a_caller_may_see(
    small: World, asker: Asker
) -> None:
    """As if a gateway had forgotten to narrow a query: the service does it by the caller's grants."""
    org, viewer = small.id, Caller(subject="usr_x", grants=(Grant("viewer", f"{small.id}/mine"),))
    auditor = Caller(subject="usr_x", grants=(Grant("admin", f"{small.id}/mine"),))
    nobody = Caller(subject="usr_x")
    staging: dict[str, Any] = {"org": org, "environment": "staging", "visible": EVERYTHING}

    async def apps_of(query: Query[Any], caller: Caller) -> set[str]:
        return {getattr(one, "app", None) or one.slug for one in (await asker.query(query, caller)).items}

    for asked in (
        registry.ListApps(org=org, visible=EVERYTHING),
        deploy.ListPlacements(**staging),
        deploy.ListRollouts(**staging),
    ):
        assert await apps_of(asked, viewer) == {"mine"}
        assert await apps_of(asked, nobody) == set()
        assert await apps_of(asked, service_caller("gateway")) == {"mine", "theirs"}
    page = await asker.query(audit.ListEntries(org=org, visible=EVERYTHING, limit=200), auditor)
    assert page.items
    assert all(entry.resource.startswith(f"{org}/mine") for entry in page.items)
    # However many applications a caller may see that are not there, those that are there are found.
    ghosts = tuple(Grant("viewer", f"{org}/{part}{number}") for part in ("a", "z") for number in range(130))
    haunted = Caller(subject="usr_x", grants=(*ghosts, *viewer.grants))
    for limit in (1, 2):
        assert await apps_of(registry.ListApps(org=org, limit=limit), haunted) == {"mine"}
        assert await apps_of(deploy.ListPlacements(org=org, environment="staging", limit=limit), haunted) == {
            "mine"
        }
    assert await apps_of(deploy.ListRollouts(org=org, environment="staging"), haunted) == {"mine"}
    auditing = tuple(Grant("admin", grant.resource) for grant in haunted.grants)
    many = await asker.query(audit.ListEntries(org=org, limit=200), Caller(subject="usr_x", grants=auditing))
    assert many.items == page.items
    rollout = next(
        one.id
        for one in (await asker.query(deploy.ListRollouts(**staging), service_caller("gateway"))).items
        if one.app == "theirs"
    )
    refused: list[Query[Any]] = [
        registry.GetApp(org=org, app="theirs"),
        registry.ListVersions(org=org, app="theirs"),
        deploy.GetRollout(org=org, rollout=rollout, visible=EVERYTHING),
        audit.ListEntries(org=org, visible=EVERYTHING),
    ]
    for query in refused:
        with pytest.raises(Refused):
            await asker.query(query, viewer)
    # Where the gateway forgets what may be seen, nothing is.
    assert await apps_of(registry.ListApps(org=org), service_caller("gateway")) == set()
    only_versions = Caller(
        subject="usr_x", grants=(Grant("custom", f"{org}/mine", frozenset({"version:read", "app:read"})),)
    )
    versions = registry.ListVersions(org=org, app="mine", live_at=EVERYTHING)
    assert all(one.live_in == () for one in (await asker.query(versions, only_versions)).items)
    staged = Caller(
        subject="usr_x",
        grants=(*only_versions.grants, Grant("custom", f"{org}/mine/staging", frozenset({"rollout:read"}))),
    )
    assert {where for one in (await asker.query(versions, staged)).items for where in one.live_in} == {
        "staging"
    }
    counted = Caller(subject="usr_x", grants=(Grant("custom", f"{org}/mine", frozenset({"app:read"})),))
    app = await asker.query(registry.GetApp(org=org, app="mine", versions_of=EVERYTHING), counted)
    assert (app.latest, app.versions) == (None, None)


async def test_no_other_process_can_speak_as_the_gateway(portal: LocalPortal, small: World) -> None:
    """The broker vouches for who sent a message; what it calls itself is not enough."""
    other = Asker(portal.amqp_url("deploy"), "row level test")
    await other.start()
    await other.opened(10)
    try:
        query = registry.ListApps(org=small.id, visible=Visible(True))
        for forged in ("gateway", "registry", "unknown"):
            assert (await other.query(query, service_caller(forged))).items == ()
        assert len((await other.query(query, service_caller("deploy"))).items) == 2
    finally:
        await other.stop()
