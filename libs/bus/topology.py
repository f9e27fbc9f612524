"""Every exchange and queue of the bus, and their arguments. The only place where names are made.

commands and queries   mes.commands (direct)  → <service>.<message>        classic, answered by reply-to
events                 mes.events (topic)     → <service>.events           quorum, one active consumer
                                              → gateway.events.<instance>  exclusive to a gateway
a passing fault        mes.retry (direct)     → <service>.events.retry.<n> waits, then back to .events
a lasting fault                               → <service>.parked           an operator lists and replays
"""

from __future__ import annotations

from datetime import timedelta

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel
from pamqp.common import FieldTable

COMMANDS = "mes.commands"
EVENTS = "mes.events"
RETRY = "mes.retry"
EXCHANGES = {COMMANDS: ExchangeType.DIRECT, EVENTS: ExchangeType.TOPIC, RETRY: ExchangeType.DIRECT}

# Who follows whom, durably. Declared before any service runs, so that no fact is told before somebody who
# must hear it can.
FOLLOWERS: dict[str, tuple[str, ...]] = {
    "audit": ("identity.#", "registry.#", "deploy.#"),
    "registry": ("deploy.#",),
}

# Longer than any caller waits; the caller's own deadline travels in a header.
COMMAND_TTL = timedelta(seconds=30)
RETRY_DELAYS = (timedelta(seconds=1), timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2))
# After so many tries a message is parked. At the last delay that is about a quarter of an hour.
MAX_ATTEMPTS = 10

# Headers. Lower case with a dash, as in HTTP.
CALLER = "mes-caller"
DEADLINE = "mes-deadline"
AFTER = "mes-after"
RETRIED = "mes-retried"
ATTEMPT = "x-attempt"
REASON = "mes-reason"
PARKED_AT = "mes-parked-at"
# Who sent the original of a copy.
SENDER = "mes-sender"
ORIGIN_EXCHANGE = "mes-origin-exchange"
ORIGIN_KEY = "mes-origin-key"
TRACEPARENT = "traceparent"

# The delivery limit only guards against a message that kills its consumer again and again.
EVENT_QUEUE_ARGUMENTS: FieldTable = {
    "x-queue-type": "quorum",
    "x-single-active-consumer": True,
    "x-delivery-limit": 20,
}
# To look is to take and give back, which must never count as failing.
PARKED_QUEUE_ARGUMENTS: FieldTable = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


def events_queue(service: str) -> str:
    return f"{service}.events"


def retry_queue(service: str, index: int) -> str:
    return f"{service}.events.retry.{index}"


def parked_queue(service: str) -> str:
    return f"{service}.parked"


async def declare_for(channel: AbstractChannel, service: str) -> None:
    """Declares what a service owns; run at each start, it changes nothing that is there already."""
    retry = await channel.get_exchange(RETRY)
    parked = await channel.declare_queue(
        parked_queue(service), durable=True, arguments=PARKED_QUEUE_ARGUMENTS
    )
    await parked.bind(retry, routing_key=parked_queue(service))
    bindings = FOLLOWERS.get(service)
    if not bindings:
        return
    queue = await channel.declare_queue(
        events_queue(service),
        durable=True,
        arguments={
            **EVENT_QUEUE_ARGUMENTS,
            # What the delivery limit gives up is parked, not lost.
            "x-dead-letter-exchange": RETRY,
            "x-dead-letter-routing-key": parked_queue(service),
        },
    )
    events = await channel.get_exchange(EVENTS)
    for key in bindings:
        await queue.bind(events, routing_key=key)
    await queue.bind(retry, routing_key=events_queue(service))
    for index, delay in enumerate(RETRY_DELAYS):
        waiting = await channel.declare_queue(
            retry_queue(service, index),
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-message-ttl": int(delay.total_seconds() * 1000),
                "x-dead-letter-exchange": RETRY,
                "x-dead-letter-routing-key": events_queue(service),
            },
        )
        await waiting.bind(retry, routing_key=retry_queue(service, index))
