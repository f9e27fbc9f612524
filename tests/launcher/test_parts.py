"""Broker and database as a pair: quick second starts, crashes, several pairs at once."""

import time
from pathlib import Path

import aio_pika
from pymongo import MongoClient

from deploy.local import LocalParts


async def test_a_second_start_is_quick_and_keeps_the_data(tmp_path: Path) -> None:
    async with LocalParts(tmp_path) as parts:
        with MongoClient[dict[str, object]](parts.mongo_url("registry")) as client:
            client["registry"]["probe"].insert_one({"_id": 1})
        async with await aio_pika.connect(parts.amqp_url("registry")) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(
                "registry.kept", durable=True, arguments={"x-queue-type": "quorum"}
            )
            await queue.bind("mes.commands", "registry.kept")
            commands = await channel.get_exchange("mes.commands", ensure=False)
            message = aio_pika.Message(b"kept", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await commands.publish(message, "registry.kept")
        addresses = parts.amqp_url("registry"), parts.mongo_url("registry")

    begun = time.monotonic()
    async with LocalParts(tmp_path) as parts:
        assert time.monotonic() - begun < 8
        assert (parts.amqp_url("registry"), parts.mongo_url("registry")) == addresses
        with MongoClient[dict[str, object]](parts.mongo_url("registry")) as client:
            assert client["registry"]["probe"].find_one({"_id": 1})
        async with await aio_pika.connect(parts.amqp_url("registry")) as connection:
            queue = await (await connection.channel()).get_queue("registry.kept", ensure=False)
            kept = await queue.get(timeout=5)
            assert kept is not None
            assert kept.body == b"kept"
            await kept.ack()


async def test_killed_parts_come_back_where_they_were(parts: LocalParts) -> None:
    for name in ("rabbitmq", "mongo", "epmd"):
        old = parts.kill(name)
        parts.wait_ready()
        assert parts.processes.get(name) != old
    with MongoClient[dict[str, object]](parts.mongo_url("audit")) as client:
        client["audit"]["probe"].insert_one({})
    async with await aio_pika.connect(parts.amqp_url("audit")) as connection:
        await (await connection.channel()).declare_exchange("mes.events", passive=True)
