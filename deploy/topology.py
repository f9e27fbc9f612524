"""The exchanges that every process relies on. Queues are declared by the services that own them."""

import asyncio
import os
import sys

import aio_pika
from aio_pika import ExchangeType

EXCHANGES = {
    "mes.commands": ExchangeType.DIRECT,  # orders and questions, by the message's name
    "mes.events": ExchangeType.TOPIC,  # facts: <service>.<event>.<organization>
    "mes.retry": ExchangeType.DIRECT,  # back to the queue that a message was delayed from
}


async def declare(url: str) -> None:
    """Declare all of them. Again and again is fine."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        for name, kind in EXCHANGES.items():
            await channel.declare_exchange(name, kind, durable=True)


def main() -> int:
    url = os.environ.get("MES_AMQP_URL")
    if not url:
        print(
            "MES_AMQP_URL is not set: the address of the broker, as a user who may configure it.",
            file=sys.stderr,
        )
        return 2
    asyncio.run(declare(url))
    print(f"declared {', '.join(EXCHANGES)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
