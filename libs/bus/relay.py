"""The outbox's way out: committed facts to the events exchange, confirmed, then marked as sent.

Woken by the commit itself. What a crash or a broken connection left behind is swept up by any replica;
doing so twice is harmless, because consumers order by sequence and drop what they have.
"""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import timedelta

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractConnection, AbstractExchange

from libs.bus import topology
from libs.bus.link import BrokerUnavailable, Link
from libs.contracts.envelope import CONTENT_TYPE, Fact
from libs.store.journal import Journal
from libs.telemetry import SpanKind, current_traceparent, span

logger = logging.getLogger(__name__)

WINDOW = 64
CONFIRM_TIMEOUT_S = 10.0
SWEEP_EVERY_S = 2.0
# Younger facts are still on their ordinary way.
SWEEP_AFTER = timedelta(seconds=3)
MARK_EVERY_S = 0.1


class Relay:
    def __init__(self, journal: Journal, url: str, process: str, user: str | None) -> None:
        self._journal = journal
        self._link = Link(url, f"{process} publishes", self._set_up, self._lost)
        self._exchange: AbstractExchange | None = None
        # The broker checks this against the connection, so a consumer can trust the source of an event.
        self._user = user
        self._fresh: asyncio.Queue[Fact] = asyncio.Queue()
        self._sent: list[Fact] = []
        self._tasks: list[asyncio.Task[None]] = []
        # Before the first consumer has declared its queue, facts wait here rather than go nowhere.
        self.mandatory = True
        journal.on_commit = self.wake

    @property
    def is_open(self) -> bool:
        return self._link.is_open

    def wake(self, facts: list[Fact]) -> None:
        for fact in facts:
            self._fresh.put_nowait(fact)

    async def start(self) -> None:
        await self._link.start()
        loops = (self._send_fresh(), self._mark(), self._sweep())
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def stop(self) -> None:
        """Finishes what is fresh, within reason; the rest is swept up by others or at the next start."""
        try:
            async with asyncio.timeout(3):
                while self._link.is_open and not self._fresh.empty():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            logger.warning("left %d facts for the sweep", self._fresh.qsize())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._link.stop()

    async def _set_up(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._exchange = await channel.get_exchange(topology.EVENTS, ensure=False)

    def _lost(self) -> None:
        self._exchange = None

    async def _send_fresh(self) -> None:
        while True:
            window = [await self._fresh.get()]
            while len(window) < WINDOW and not self._fresh.empty():
                window.append(self._fresh.get_nowait())
            try:
                await self._send(window)
            except Exception as error:
                # Not lost: its parcel is still in the outbox.
                logger.warning("left %d facts for the sweep: %r", len(window), error)

    async def _send(self, facts: list[Fact]) -> None:
        """In order, on one channel, with all confirms awaited together."""
        exchange = self._exchange
        if exchange is None:
            raise BrokerUnavailable("relay")
        async with asyncio.timeout(CONFIRM_TIMEOUT_S):
            results = await asyncio.gather(
                *(self._publish(exchange, fact) for fact in facts), return_exceptions=True
            )
        self._sent += [fact for fact, result in zip(facts, results, strict=True) if result is None]
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _publish(self, exchange: AbstractExchange, fact: Fact) -> None:
        key = f"{fact.type}.{fact.org}"
        with span(
            f"send {topology.EVENTS}:{fact.type}",
            SpanKind.PRODUCER,
            {
                "messaging.system": "rabbitmq",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": f"{topology.EVENTS}:{fact.type}",
                "messaging.rabbitmq.destination.routing_key": key,
                "messaging.message.id": fact.id,
            },
            parent=fact.traceparent,
        ):
            message = Message(
                fact.encode(),
                content_type=CONTENT_TYPE,
                message_id=fact.id,
                delivery_mode=DeliveryMode.PERSISTENT,
                user_id=self._user,
                headers={topology.TRACEPARENT: current_traceparent() or ""},
            )
            await exchange.publish(message, routing_key=key, mandatory=self.mandatory)

    async def _mark(self) -> None:
        while True:
            await asyncio.sleep(MARK_EVERY_S)
            await self._mark_now()

    async def _mark_now(self) -> None:
        if not self._sent:
            return
        batch, self._sent = self._sent, []
        try:
            await self._journal.mark_sent(batch)
        except Exception as error:
            # They will be sent once more, which consumers bear.
            logger.warning("could not mark %d facts as sent: %r", len(batch), error)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S * random.uniform(0.5, 1.5))
            try:
                left = await self._journal.unsent(SWEEP_AFTER)
                for start in range(0, len(left), WINDOW):
                    await self._send(left[start : start + WINDOW])
                if left:
                    await self._mark_now()
                    logger.info("swept up %d facts", len(left))
            except Exception as error:
                logger.warning("sweep put off: %r", error)
