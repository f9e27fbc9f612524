"""What must be on the broker before any process starts: exchanges, and the queues of those who follow."""

import asyncio
import os
import sys

import aio_pika

from libs.bus.topology import EXCHANGES, FOLLOWERS, declare_for


async def declare(url: str) -> None:
    """Declare all of it. Again and again is fine."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        for name, kind in EXCHANGES.items():
            await channel.declare_exchange(name, kind, durable=True)
        for service in FOLLOWERS:
            await declare_for(channel, service)


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
