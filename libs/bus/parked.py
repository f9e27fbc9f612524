"""Messages that could not be processed: put aside, listed, and sent back to where they came from."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from libs.bus import topology
from libs.contracts.common import ParkedMessage

# What a message that is sent back leaves behind: nobody waits for it any more, and its tries begin anew.
_PAST = (topology.ATTEMPT, topology.REASON, topology.PARKED_AT, topology.DEADLINE)


def sender_of(message: Any, user: str) -> str:
    """Who sent it first. The broker vouches for `user_id`, so a copy that `user` sent can be believed."""
    if message.user_id == user and topology.SENDER in message.headers:
        return str(message.headers[topology.SENDER])
    return message.user_id or ""


def copy_of(message: Any, user: str, headers: dict[str, Any]) -> Message:
    """A copy that `user` sends, to be processed later or never."""
    return Message(
        message.body,
        headers={**headers, topology.SENDER: sender_of(message, user)},
        content_type=message.content_type,
        # Somebody else's message may have none, and an operator must be able to name it.
        message_id=message.message_id or uuid.uuid4().hex,
        user_id=user,
        delivery_mode=DeliveryMode.PERSISTENT,
    )


async def park(channel: AbstractChannel, service: str, user: str, reason: str, origin: Any) -> None:
    """Puts a copy aside, confirmed, before the original is acknowledged. `origin` is the message."""
    exchange = await channel.get_exchange(topology.RETRY, ensure=False)
    headers = dict(origin.headers)
    headers.setdefault(topology.ORIGIN_EXCHANGE, origin.exchange or "")
    headers.setdefault(topology.ORIGIN_KEY, origin.routing_key or "")
    headers |= {topology.REASON: reason[:500], topology.PARKED_AT: datetime.now(UTC).isoformat()}
    await exchange.publish(
        copy_of(origin, user, headers), routing_key=topology.parked_queue(service), mandatory=True
    )


async def listing(channel: AbstractChannel, service: str, limit: int) -> list[ParkedMessage]:
    """Looks without taking: what was fetched goes back in one go."""
    fetched = await _fetch(channel, service, limit)
    found = [_described(service, message) for message in fetched]
    if fetched:
        await fetched[-1].nack(multiple=True, requeue=True)
    return found


async def replay(channel: AbstractChannel, service: str, user: str, ids: set[str]) -> list[str]:
    """Sends each back to its own queue with a fresh count of attempts; those not named stay."""
    replayed = []
    for message in await _fetch(channel, service, 1000):
        identity = message.message_id or ""
        if identity not in ids:
            await message.nack(requeue=True)
            continue
        # An event goes to this service alone, not to everybody again.
        command = message.headers.get(topology.ORIGIN_EXCHANGE) == topology.COMMANDS
        name = topology.COMMANDS if command else topology.RETRY
        key = str(message.headers[topology.ORIGIN_KEY]) if command else topology.events_queue(service)
        exchange = await channel.get_exchange(name, ensure=False)
        headers = {header: value for header, value in message.headers.items() if header not in _PAST}
        await exchange.publish(copy_of(message, user, headers), routing_key=key, mandatory=True)
        await message.ack()
        replayed.append(identity)
    return replayed


async def _fetch(channel: AbstractChannel, service: str, limit: int) -> list[AbstractIncomingMessage]:
    queue = await channel.get_queue(topology.parked_queue(service), ensure=False)
    fetched: list[AbstractIncomingMessage] = []
    while len(fetched) < limit and (message := await queue.get(fail=False, no_ack=False)) is not None:
        fetched.append(message)
    return fetched


def _described(service: str, message: AbstractIncomingMessage) -> ParkedMessage:
    headers = message.headers
    return ParkedMessage(
        id=message.message_id or "",
        service=service,
        queue=str(headers.get(topology.ORIGIN_KEY, "")),
        reason=str(headers.get(topology.REASON, "")),
        parked_at=str(headers.get(topology.PARKED_AT, "")),
        attempts=int(str(headers.get(topology.ATTEMPT, 0))),
        body=message.body[:4096].decode("utf-8", "replace"),
    )
