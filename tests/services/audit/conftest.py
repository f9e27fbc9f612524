"""The audit service as a process, and a stand-in for registry that tells facts and owns their log."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aio_pika
import pytest
import pytest_asyncio
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage

from deploy.local import LocalParts
from libs.bus import topology
from libs.bus.rpc import Asker
from libs.contracts.audit import Entry, ListEntries
from libs.contracts.base import Caller, Page
from libs.contracts.common import Events, ReadEvents
from libs.contracts.envelope import CONTENT_TYPE, Fact
from libs.permissions import EVERYTHING, Grant
from libs.service.commands import answer_bytes, encode
from tests.services.conftest import Running

PATIENCE_S = 20.0


def a_fact(org: str, sequence: int, **fields: Any) -> Fact:
    return Fact(
        **{
            "service": "registry",
            "org": org,
            "sequence": sequence,
            "type": "registry.app_updated",
            "subject": f"{org}/orders",
            "time": datetime.now(UTC),
            "data": {"org": org, "app": "orders", "number": sequence},
            "actor": "usr_ada",
            "summary": f"change {sequence}",
            **fields,
        }
    )


@dataclass
class Teller:
    """Publishes as a service's broker user, and answers for the log when asked."""

    user: str
    channel: AbstractChannel
    events: AbstractExchange
    asked_after: list[int] = field(default_factory=list)

    async def tell(self, *facts: Fact) -> None:
        await asyncio.gather(*(self.send(fact.encode(), fact.id, fact.org) for fact in facts))

    async def send(self, body: bytes, identity: str, org: str) -> None:
        message = aio_pika.Message(
            body,
            content_type=CONTENT_TYPE,
            message_id=identity,
            user_id=self.user,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await self.events.publish(message, routing_key=f"{self.user}.app_updated.{org}", mandatory=True)

    @asynccontextmanager
    async def owning(self, facts: list[Fact]) -> AsyncIterator[None]:
        """Answers `<service>.read_events` from these facts, as the owner would."""
        name = f"{self.user}.read_events"
        queue = await self.channel.declare_queue(
            name,
            durable=True,
            arguments={"x-message-ttl": int(topology.COMMAND_TTL.total_seconds() * 1000)},
        )
        await queue.bind(topology.COMMANDS, name)

        async def answer(message: AbstractIncomingMessage) -> None:
            asked = ReadEvents.model_validate_json(message.body)
            self.asked_after.append(asked.after)
            known = [fact for fact in facts if fact.org == asked.org and fact.sequence > asked.after]
            body = answer_bytes(encode(Events(facts=tuple(known[: asked.limit]))), {})
            reply = aio_pika.Message(body, correlation_id=message.correlation_id)
            # Whoever asked may have been killed meanwhile.
            await self.channel.default_exchange.publish(reply, message.reply_to or "", mandatory=False)
            await message.ack()

        tag = await queue.consume(answer)
        try:
            yield
        finally:
            await queue.cancel(tag)


@asynccontextmanager
async def telling(parts: LocalParts, user: str) -> AsyncIterator[Teller]:
    async with await aio_pika.connect(parts.amqp_url(user)) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        yield Teller(user, channel, await channel.get_exchange(topology.EVENTS, ensure=False))


@dataclass
class Log:
    """Reads the log as a gateway does, on behalf of an auditor."""

    asker: Asker

    async def page(self, org: str, caller: Caller | None = None, **search: Any) -> Page[Entry]:
        return await self.asker.query(
            ListEntries(org=org, **({"visible": EVERYTHING} | search)), caller or an_auditor(org)
        )

    async def entries(self, org: str, **search: Any) -> list[Entry]:
        """Oldest first, through all pages."""
        found: list[Entry] = []
        cursor: str | None = None
        while True:
            page = await self.page(org, cursor=cursor, **search)
            found += page.items
            if (cursor := page.next) is None:
                return found[::-1]

    async def sequences(self, org: str) -> list[int]:
        return [entry.sequence for entry in await self.entries(org, limit=200)]


def an_auditor(org: str) -> Caller:
    return Caller(subject="usr_auditor", name="Auditor", grants=(Grant("admin", org),))


async def eventually(look: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Looks until it sees what is wanted; fails with what it saw last."""
    seen = None
    for _ in range(int(PATIENCE_S / 0.05)):
        seen = await look()
        if seen == wanted:
            return
        await asyncio.sleep(0.05)
    assert seen == wanted


@pytest.fixture(scope="package")
def audit(parts: LocalParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    service = Running(parts, "audit", tmp_path_factory.mktemp("audit"), {}).start()
    yield service
    service.stop()


@pytest_asyncio.fixture(scope="package")
async def asker(parts: LocalParts, audit: Running) -> AsyncIterator[Asker]:
    asker = Asker(parts.amqp_url("gateway"), "tests")
    await asker.start()
    await asker.opened(10)
    yield asker
    await asker.stop()


@pytest.fixture
def log(asker: Asker) -> Log:
    return Log(asker)


@pytest_asyncio.fixture
async def registry(parts: LocalParts, audit: Running) -> AsyncIterator[Teller]:
    async with telling(parts, "registry") as teller:
        yield teller


@pytest.fixture
def org() -> str:
    return f"org_{uuid.uuid4().hex[:12]}"
