"""Services in memory whose every answer is known from its sequence alone, and a loop whose time is not real.

An answer is, for each of its topics, the sequence that last touched it. So what a client holds can be checked
against the version that it was told, whatever the order of readings and deliveries was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from libs.contracts import deploy, identity, registry
from libs.contracts.base import Caller, Query, topic
from libs.contracts.common import Answer, NamedQuery, Snapshot
from libs.contracts.envelope import Fact, Position, Stream
from libs.errors import Problem, ServiceUnavailable
from libs.live.engine import Engine
from libs.live.subscriber import Subscriber, Transition
from libs.live.versions import from_text
from libs.permissions import EVERYTHING

Value = TypeVar("Value")
ORG = "org_1"
REGISTRY, DEPLOY, IDENTITY = (Stream(name, ORG) for name in ("registry", "deploy", "identity"))

APPS = registry.ListApps(org=ORG, visible=EVERYTHING)
APP_A, APP_B = (registry.GetApp(org=ORG, app=app) for app in "ab")
VERSIONS_A = registry.ListVersions(org=ORG, app="a")
PLACEMENTS = deploy.ListPlacements(org=ORG, environment="production", visible=EVERYTHING)
ROLLOUTS = deploy.ListRollouts(org=ORG, environment="production", visible=EVERYTHING)
QUERIES: tuple[Query[Any], ...] = (APPS, APP_A, APP_B, VERSIONS_A, PLACEMENTS, ROLLOUTS)
MEMBERS = identity.ListMembers(org=ORG)
_CONTRACTS = {query.message: type(query) for query in (*QUERIES, MEMBERS)}

# What events touch. Most touch several answers at once: those must never be seen apart.
CHANGES: tuple[tuple[Stream, tuple[str, ...]], ...] = (
    (REGISTRY, (topic("apps", ORG), topic("app", ORG, "a"))),
    (REGISTRY, (topic("apps", ORG), topic("app", ORG, "b"))),
    (REGISTRY, (topic("app", ORG, "a"), topic("versions", ORG, "a"))),
    (REGISTRY, ()),
    (DEPLOY, (topic("placements", ORG, "production"), topic("rollouts", ORG, "production"))),
    (DEPLOY, (topic("rollouts", ORG, "production"),)),
)


class _UnrealLoop(asyncio.SelectorEventLoop):
    """Time passes only when nothing else is left to do."""

    _now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        waiting = self._scheduled  # type: ignore[attr-defined]  # asyncio offers no other way in
        if not self._ready and waiting:  # type: ignore[attr-defined]
            self._now = max(self._now, waiting[0].when())
        super()._run_once()  # type: ignore[misc]


def run(main: Coroutine[Any, Any, Value]) -> Value:
    """Runs to the end in no real time; faults of background tasks are the test's own."""
    loop = _UnrealLoop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(main)
    assert not faults, faults
    return result


async def settle(turns: int = 30) -> None:
    """Lets everything run that can run without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)


def a_fact(stream: Stream, sequence: int, topics: Iterable[str] = (), type: str = "some.thing") -> Fact:
    return Fact(
        service=stream.service,
        org=stream.org,
        sequence=sequence,
        type=type,
        subject=stream.org,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        data={},
        topics=tuple(topics),
    )


@dataclass
class Reading:
    """One question on its way: when it is looked at, and when its answer arrives, is the test's choice."""

    stream: Stream
    queries: tuple[NamedQuery, ...]
    after: tuple[Position, ...]
    answer: asyncio.Future[Snapshot]
    snapshot: Snapshot | None = None


@dataclass
class World:
    """The services. With `by_hand`, readings wait until the test answers them."""

    by_hand: bool = False
    log: dict[Stream, list[Fact]] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)

    def commit(self, stream: Stream, topics: Iterable[str] = ()) -> Fact:
        facts = self.log.setdefault(stream, [])
        facts.append(a_fact(stream, len(facts) + 1, topics))
        return facts[-1]

    def head(self, stream: Stream) -> int:
        return len(self.log.get(stream, ()))

    def value(self, stream: Stream, named: NamedQuery, at: int) -> dict[str, int]:
        topics = _CONTRACTS[named.query].model_validate(named.args).topics()
        return {
            topic: max((f.sequence for f in self.log.get(stream, ())[:at] if topic in f.topics), default=0)
            for topic in topics
        }

    def snapshot(self, reading: Reading) -> Snapshot:
        at = self.head(reading.stream)
        return Snapshot(
            sequence=at, answers=tuple(self._answer(reading.stream, q, at) for q in reading.queries)
        )

    def _answer(self, stream: Stream, named: NamedQuery, at: int) -> Answer:
        if named.query in self.broken:
            return Answer(problem=Problem(title="Fault", status=500, code="internal_error"))
        return Answer(value=self.value(stream, named, at))

    def reply(self, reading: Reading) -> None:
        self.readings.remove(reading)
        if not reading.answer.done():
            reading.answer.set_result(reading.snapshot or self.snapshot(reading))

    def fail(self, reading: Reading) -> None:
        self.readings.remove(reading)
        if not reading.answer.done():
            reading.answer.set_exception(ServiceUnavailable("down"))

    # What the engine asks; the same calls as libs.bus.rpc.Asker.
    async def read(
        self,
        service: str,
        org: str,
        queries: tuple[NamedQuery, ...],
        caller: Caller,
        after: tuple[Position, ...] = (),
    ) -> Snapshot:
        self.asked.append(tuple(query.query for query in queries))
        if service in self.down:
            await asyncio.sleep(0)
            raise ServiceUnavailable(service)
        answer: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        reading = Reading(Stream(service, org), queries, after, answer)
        self.readings.append(reading)
        if not self.by_hand:
            self.reply(reading)
        return await answer

    async def events_after(self, stream: Stream, after: int, limit: int = 200) -> list[Fact]:
        if stream.service in self.down:
            raise ServiceUnavailable(stream.service)
        return self.log.get(stream, [])[after : after + limit]

    async def heads(self, service: str, orgs: tuple[str, ...]) -> dict[str, int]:
        if service in self.down:
            raise ServiceUnavailable(service)
        return {org: self.head(Stream(service, org)) for org in orgs}


class EmptyDirectory:
    """Identity, asked by a gateway that starts before there is anything."""

    async def query(self, query: identity.ListDirectory, caller: Caller) -> identity.Directory:
        return identity.Directory(entries=(), operators=(), ended=(), platform_sequence=0, next=None)


def an_engine(world: World, **kwargs: Any) -> Engine:
    return Engine(world, **kwargs)  # type: ignore[arg-type]  # the world answers what the engine asks


async def deliver(engine: Engine, *facts: Fact) -> None:
    """As the bus does: each on its own, and a failure is the engine's to mend."""
    await asyncio.gather(*(engine.receive(fact) for fact in facts), return_exceptions=True)


class Torn(AssertionError):
    """What a client was shown never was, or was not in this order."""


class Client:
    """What a client makes of its frames. Every frame is checked against the services' history."""

    def __init__(self, engine: Engine, world: World) -> None:
        self.subscriber = Subscriber()
        self.values: dict[str, Any] = {}
        self.version = ""
        self.frames: list[Transition] = []
        self._engine = engine
        self._world = world
        self._queries: dict[str, Query[Any]] = {}

    def subscribe(self, query: Query[Any], name: str | None = None) -> str:
        name = name or query.message
        self.values.pop(name, None)
        self._queries[name] = query
        self._engine.subscribe(self.subscriber, name, query)
        return name

    def unsubscribe(self, name: str) -> None:
        self.values.pop(name, None)
        self._queries.pop(name, None)
        self._engine.unsubscribe(self.subscriber, name)

    async def take(self) -> bool:
        """Takes a frame if one waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                self.apply(await self.subscriber.next())
                return True
        return False

    async def follow(self) -> None:
        while True:
            self.apply(await self.subscriber.next())

    def apply(self, transition: Transition) -> None:
        self.frames.append(transition)
        if transition.before != self.version:
            raise Torn(f"from {transition.before}, but the client is at {self.version}")
        if not transition.items:
            raise Torn("a frame that changes nothing")
        before, after = positions(self.version), positions(transition.after)
        if any(after.get(stream, at) < at for stream, at in before.items()):
            raise Torn(f"back in time: {before} to {after}")
        frame = orjson.loads(transition.frame())
        for item in frame["set"]:
            self.values[item["id"]] = item.get("value", item.get("error"))
        self.version = transition.after
        self.check(after)

    def check(self, at: dict[Stream, int]) -> None:
        for name, value in self.values.items():
            query = self._queries[name]
            stream = Stream(query.owner, query.tenant())
            if stream not in at:
                raise Torn(f"{name} belongs to no picture of {at}")
            named = NamedQuery(query=query.message, args=query.model_dump(mode="json"))
            was = self._world.value(stream, named, at[stream])
            if value != was:
                raise Torn(f"{name} is {value}, but at {at[stream]} it was {was}")

    def is_current(self) -> bool:
        """True if everything asked for has arrived and is as the services have it now."""
        if self.values.keys() != self._queries.keys():
            return False
        return all(
            value
            == self._world.value(
                stream := Stream(self._queries[name].owner, ORG),
                NamedQuery(
                    query=self._queries[name].message, args=self._queries[name].model_dump(mode="json")
                ),
                self._world.head(stream),
            )
            for name, value in self.values.items()
        )


def positions(version: str) -> dict[Stream, int]:
    return {position.stream: position.sequence for position in from_text(version)}
