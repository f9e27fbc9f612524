"""Who holds which live connection: taking over, leaving, being thrown out, and leaving nothing behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import sockets as module
from gateway.claims import Claims
from gateway.directory import Directory
from gateway.sockets import GOING_AWAY, RESUMABLE_S, SIGNED_OUT, Connection, Sockets, say_problem
from gateway.tokens import SessionOver
from libs.contracts.identity import MemberRemoved, MemberSet, OrganizationCreated, SessionEnded
from libs.errors import NotFound, Refusal
from libs.live.engine import Engine
from tests.unit.live.world import (
    DEPLOY,
    IDENTITY,
    ORG,
    REGISTRY,
    EmptyDirectory,
    World,
    a_fact,
    an_engine,
    deliver,
    run,
    settle,
)


class FakeSocket:
    """Takes what is sent; one that `hangs` takes nothing, like a client that does not read."""

    def __init__(self, hangs: bool = False) -> None:
        self.sent: list[str] = []
        self.closed: int | None = None
        self._hangs = hangs

    async def send_text(self, text: str) -> None:
        if self._hangs:
            await asyncio.Event().wait()
        self.sent.append(text)

    async def close(self, code: int) -> None:
        if self._hangs:
            await asyncio.Event().wait()
        self.closed = code


class Gateway:
    def __init__(self) -> None:
        self.world = World()
        self.directory = Directory()
        self.engine: Engine = an_engine(
            self.world, on_fact=self.directory.apply, followed_whole=frozenset({"identity"})
        )
        self.sockets = Sockets(self.engine, self.directory)
        self.directory.on_change = self.sockets.rights_changed

    async def happens(self, type: str, data: dict[str, Any]) -> None:
        sequence = self.world.head(IDENTITY) + 1
        fact = a_fact(IDENTITY, sequence, type=type).model_copy(update={"data": data})
        self.world.log.setdefault(IDENTITY, []).append(fact)
        await deliver(self.engine, fact)

    async def open(
        self, resume: Connection | None = None, hangs: bool = False
    ) -> tuple[Connection, FakeSocket]:
        socket = FakeSocket(hangs)
        asked = {"session": resume.session, "at": resume.subscriber.sent} if resume else None
        connection, _ = await self.sockets.open(claims(), socket, asked)  # type: ignore[arg-type]
        return connection, socket

    def watch(self, connection: Connection) -> None:
        self.sockets.subscribe(connection, "apps", "registry.list_apps", {"org": "acme"})
        self.sockets.subscribe(connection, "envs", "deploy.list_placements", PRODUCTION)

    @property
    def is_empty(self) -> bool:
        held = any(self.engine.answers.watched(stream) for stream in (REGISTRY, DEPLOY, IDENTITY))
        return not (held or self.sockets._by_session or self.sockets._left or len(self.sockets))


PRODUCTION = {"org": "acme", "environment": "production"}


def claims() -> Claims:
    return Claims("usr_1", 4e9, "one@example.org", session="ses_1", rests_on=frozenset({"ses_1"}))


async def a_gateway() -> Gateway:
    gateway = Gateway()
    await gateway.directory.load(EmptyDirectory())  # type: ignore[arg-type]
    await gateway.happens(OrganizationCreated.message, {"slug": "acme"})
    await gateway.happens(MemberSet.message, {"user": "usr_1", "role": "developer"})
    return gateway


def test_a_connection_that_never_comes_back_leaves_nothing_behind() -> None:
    async def story() -> None:
        gateway = await a_gateway()
        connection, socket = await gateway.open()
        gateway.watch(connection)
        await settle()
        gateway.sockets.leave(connection, socket)  # type: ignore[arg-type]
        assert (len(gateway.sockets), gateway.is_empty) == (0, False)
        # Nobody else comes either: time alone does it.
        await asyncio.sleep(RESUMABLE_S + 1)
        assert gateway.is_empty

    run(story())


def test_a_connection_that_comes_back_in_time_is_not_forgotten() -> None:
    async def story() -> None:
        gateway = await a_gateway()
        connection, socket = await gateway.open()
        gateway.watch(connection)
        await settle()
        connection.subscriber.take()
        gateway.sockets.leave(connection, socket)  # type: ignore[arg-type]
        await asyncio.sleep(RESUMABLE_S - 1)
        again, _ = await gateway.open(resume=connection)
        assert again is connection
        await asyncio.sleep(RESUMABLE_S * 2)
        assert len(gateway.sockets) == 1
        assert set(again.subscriber.holds) == {"apps", "envs"}

    run(story())


def test_only_so_many_lost_connections_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RESUMABLE", 3)

    async def story() -> None:
        gateway = await a_gateway()
        for _ in range(10):
            connection, socket = await gateway.open()
            gateway.watch(connection)
            gateway.sockets.leave(connection, socket)  # type: ignore[arg-type]
        assert len(gateway.sockets._by_session) == 3
        assert connection.session in gateway.sockets._by_session

    run(story())


def test_the_old_socket_is_closed_and_its_client_is_not_waited_for() -> None:
    async def story() -> None:
        gateway = await a_gateway()
        connection, old = await gateway.open(hangs=True)
        gateway.watch(connection)
        await settle()
        connection.subscriber.take()
        # A frame to the old one is under way, and will be for ever.
        stuck = asyncio.create_task(
            say_problem(connection, old, "apps", NotFound("?").problem())  # type: ignore[arg-type]
        )
        await settle()
        again, new = await gateway.open(resume=connection)
        assert again.serves(new)  # type: ignore[arg-type]
        assert not again.serves(old)  # type: ignore[arg-type]
        async with asyncio.timeout(1):
            await say_problem(again, new, "apps", NotFound("?").problem())  # type: ignore[arg-type]
        gateway.sockets.leave(again, old)  # type: ignore[arg-type]
        assert len(gateway.sockets) == 1
        stuck.cancel()

        second, healthy = await gateway.open(resume=again)
        third, _ = await gateway.open(resume=second)
        await settle()
        assert third is second
        assert healthy.closed == GOING_AWAY

    run(story())


def test_a_session_that_ends_while_its_socket_is_being_opened_is_refused() -> None:
    async def story() -> None:
        gateway = await a_gateway()
        coming = gateway.world.head(IDENTITY) + 1
        resume = {"session": "?", "at": f"identity/{ORG}={coming}"}
        opening = asyncio.create_task(
            gateway.sockets.open(claims(), FakeSocket(), resume)  # type: ignore[arg-type]
        )
        await settle()
        assert not opening.done()
        await gateway.happens(SessionEnded.message, {"session": "ses_1"})
        with pytest.raises(SessionOver):
            await opening
        assert gateway.is_empty

    run(story())


def test_who_is_thrown_out_can_subscribe_to_nothing_more_and_leaves_nothing() -> None:
    async def story() -> None:
        gateway = await a_gateway()
        connection, socket = await gateway.open()
        gateway.watch(connection)
        await settle()
        assert connection.subscriber._waiting
        await gateway.happens(SessionEnded.message, {"session": "ses_1"})
        # At once, before the socket is closed: what waits is dropped, nothing new is taken.
        assert connection.subscriber._waiting == {}
        assert not connection.serves(socket)  # type: ignore[arg-type]
        with pytest.raises(SessionOver):
            gateway.watch(connection)
        await settle()
        assert socket.closed == SIGNED_OUT
        gateway.sockets.leave(connection, socket)  # type: ignore[arg-type]
        assert gateway.is_empty

    run(story())


def test_a_member_who_is_removed_keeps_a_connection_without_those_subscriptions() -> None:
    async def story() -> None:
        gateway = await a_gateway()
        connection, socket = await gateway.open()
        gateway.watch(connection)
        await settle()
        await gateway.happens(MemberRemoved.message, {"user": "usr_1"})
        assert connection.subscriber._waiting == {}
        assert connection.subscriber.holds == {}
        await settle()
        assert len(socket.sent) == 2
        assert all("organization_not_found" in frame for frame in socket.sent)
        with pytest.raises(Refusal):
            gateway.watch(connection)

    run(story())
