"""What each user may do on a real broker, and what it may not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused

from deploy.local import LocalParts
from deploy.local.rights import SERVICES

EXCHANGES = ("mes.commands", "mes.events", "mes.retry")
REPLY_TO = "amq.rabbitmq.reply-to"


@asynccontextmanager
async def a_channel(parts: LocalParts, user: str) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(parts.amqp_url(user)) as connection:
        yield await connection.channel(on_return_raises=True)


async def refused(parts: LocalParts, user: str, act: Callable[[AbstractChannel], Awaitable[object]]) -> None:
    async with a_channel(parts, user) as channel:
        with pytest.raises(ChannelAccessRefused):
            await act(channel)


async def publish(channel: AbstractChannel, exchange: str, key: str) -> None:
    await (await channel.get_exchange(exchange, ensure=False)).publish(aio_pika.Message(b"{}"), key)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_works_with_its_own_queues(parts: LocalParts, service: str) -> None:
    async with a_channel(parts, service) as channel:
        for exchange in EXCHANGES:
            await channel.declare_exchange(exchange, passive=True)
        queue = await channel.declare_queue(
            f"{service}.probe",
            durable=True,
            arguments={"x-queue-type": "quorum", "x-dead-letter-exchange": "mes.retry"},
        )
        await queue.bind("mes.commands", f"{service}.probe")
        await queue.bind("mes.events", f"{service}.*.*")
        await queue.bind("mes.events", "identity.#")
        await queue.bind("mes.retry", f"{service}.probe")
        for exchange, key in (
            ("mes.commands", f"{service}.probe"),
            ("mes.events", f"{service}.something_happened.acme"),
            ("mes.retry", f"{service}.probe"),
        ):
            await publish(channel, exchange, key)
            message = await queue.get(timeout=5)
            assert message is not None
            await message.ack()
        await queue.delete(if_unused=False, if_empty=False)


@pytest.mark.parametrize("user", [*SERVICES, "gateway"])
async def test_nobody_touches_a_foreign_queue(parts: LocalParts, user: str) -> None:
    foreign = "registry" if user != "registry" else "audit"
    async with a_channel(parts, foreign) as channel:
        await channel.declare_queue(f"{foreign}.private", durable=True)
    await refused(parts, user, lambda channel: channel.declare_queue(f"{foreign}.mine_now"))
    await refused(parts, user, lambda channel: channel.queue_delete(f"{foreign}.private"))

    async def read(channel: AbstractChannel) -> None:
        queue = await channel.get_queue(f"{foreign}.private", ensure=False)
        await queue.get(timeout=5, fail=False)

    await refused(parts, user, read)


@pytest.mark.parametrize("user", [*SERVICES, "gateway"])
async def test_nobody_changes_exchanges(parts: LocalParts, user: str) -> None:
    await refused(parts, user, lambda channel: channel.declare_exchange("mes.more"))
    await refused(parts, user, lambda channel: channel.exchange_delete("mes.events"))


async def test_a_forged_event_is_refused(parts: LocalParts) -> None:
    await refused(
        parts, "registry", lambda channel: publish(channel, "mes.events", "identity.user_added.acme")
    )


async def test_a_gateway_tells_no_facts(parts: LocalParts) -> None:
    await refused(parts, "gateway", lambda channel: publish(channel, "mes.events", "gateway.anything.acme"))
    await refused(parts, "gateway", lambda channel: publish(channel, "mes.retry", "registry.events"))


async def test_a_gateway_writes_past_no_service_into_its_queue(parts: LocalParts) -> None:
    await refused(
        parts, "gateway", lambda channel: channel.default_exchange.publish(aio_pika.Message(b""), "x")
    )


async def test_a_gateway_asks_and_gets_its_answer(parts: LocalParts) -> None:
    async with a_channel(parts, "registry") as service, a_channel(parts, "gateway") as gateway:
        queue = await service.declare_queue("registry.probe_question", exclusive=True)
        await queue.bind("mes.commands", "registry.probe_question")

        async def answer(question: aio_pika.abc.AbstractIncomingMessage) -> None:
            assert question.reply_to
            reply = aio_pika.Message(b"yes", correlation_id=question.correlation_id)
            await service.default_exchange.publish(reply, question.reply_to)

        await queue.consume(answer, no_ack=True)

        answers: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
        replies = await gateway.get_queue(REPLY_TO, ensure=False)
        await replies.consume(answers.put, no_ack=True)
        commands = await gateway.get_exchange("mes.commands", ensure=False)
        await commands.publish(
            aio_pika.Message(b"?", reply_to=REPLY_TO, correlation_id="1"), "registry.probe_question"
        )
        async with asyncio.timeout(5):
            assert (await answers.get()).body == b"yes"


async def test_a_gateway_hears_every_event_in_its_own_queue(parts: LocalParts) -> None:
    async with a_channel(parts, "gateway") as gateway, a_channel(parts, "audit") as service:
        queue = await gateway.declare_queue("gateway.probe.1", exclusive=True)
        await queue.bind("mes.events", "#")
        await publish(service, "mes.events", "audit.sealed.acme")
        message = await queue.get(timeout=5)
        assert message is not None
        assert message.routing_key == "audit.sealed.acme"
        await message.ack()


async def test_a_wrong_password_is_refused(parts: LocalParts) -> None:
    with pytest.raises(aio_pika.exceptions.ProbableAuthenticationError):
        await aio_pika.connect(parts.amqp_url("registry").replace("registry:", "registry:x"))
