"""The frame that every service hangs its handlers in: connections, subscribers, start, readiness, stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import orjson
import uvloop
from aio_pika.abc import AbstractConnection
from faststream.middlewares import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitExchange, RabbitQueue, RabbitResponse
from faststream.rabbit.schemas.queue import ClassicQueueArgs
from pydantic import ValidationError

from libs.bus import parked, topology
from libs.bus.link import BrokerUnavailable, Link
from libs.bus.relay import Relay
from libs.bus.rpc import Asker
from libs.contracts.base import SERVICE, Caller
from libs.contracts.common import (
    LIST_PARKED,
    READ,
    READ_EVENTS,
    READ_HEADS,
    REPLAY_PARKED,
    Events,
    Heads,
    ListParked,
    Parked,
    ReadEvents,
    ReadHeads,
    Replayed,
    ReplayParked,
)
from libs.contracts.envelope import Position
from libs.errors import InternalError, MalformedMessage, Refusal
from libs.service.commands import CommandEdge, Handler, answer_bytes, caller_from, encode, problem_bytes
from libs.service.following import FOLLOWED, Following, React
from libs.service.queries import QueryEdge, QueryHandler
from libs.service.settings import ServiceSettings
from libs.service.turns import Turns
from libs.store.database import Database, Documents
from libs.store.journal import Journal
from libs.telemetry import SpanKind, set_up, shut_down, span

logger = logging.getLogger(__name__)

COMMAND_PREFETCH = 64
EVENT_PREFETCH = 200
# How long a read waits for a version that the caller has seen and this service follows.
CATCH_UP_S = 3.0
DRAIN_S = 5.0
# Between two tries to reach a broker that has gone.
RECONNECT_S = 0.5

Edge = Callable[[bytes, Caller, Any], Awaitable[bytes]]
_COMMAND_ARGUMENTS: ClassicQueueArgs = {"x-message-ttl": int(topology.COMMAND_TTL.total_seconds() * 1000)}
_DIRECT = RabbitExchange(topology.COMMANDS, declare=False)


class Service:
    """Built in a service's `main.py`; `run` serves until SIGTERM."""

    def __init__(self, name: str, settings: ServiceSettings, documents: Sequence[Documents[Any]]) -> None:
        self.name = name
        self.settings = settings
        self.process = settings.process or name
        self.database = Database(settings.mongo_url, name)
        self.journal = Journal(self.database, name, self.process)
        self.asker = Asker(settings.amqp_url, self.process)
        user = settings.broker_user
        self.relay = Relay(self.journal, settings.amqp_url, self.process, user)
        self.background: list[Callable[[], Awaitable[None]]] = []
        self._documents = [*documents, FOLLOWED]
        self._following: Following | None = None
        self._link = Link(settings.amqp_url, f"{self.process} parks", self._open_side_channel)
        self._edges: dict[str, Edge] = {}
        self._in_flight = 0
        self._turns = Turns()
        self._stopping = asyncio.Event()
        self._broker = RabbitBroker(
            settings.amqp_url,
            apply_types=False,
            logger=None,
            reconnect_interval=RECONNECT_S,
            # What this broker publishes is answers. One that is lost is asked for again.
            default_channel=Channel(publisher_confirms=False),
        )
        self._asking = Channel(prefetch_count=COMMAND_PREFETCH)
        self._add_common()

    def commands(self, *handlers: Handler) -> None:
        for handler in handlers:
            edge = CommandEdge(self.name, self.database, self.journal, handler, self._turns)
            self._edges[edge.contract.message] = self._command(edge)

    def queries(self, *handlers: QueryHandler) -> None:
        edge = QueryEdge(self.database, handlers, self.journal.known_head)

        async def read(body: bytes, caller: Caller, message: Any) -> bytes:
            await self._catch_up(message)
            return await edge(body, caller, self._on_own_behalf(caller, message))

        self._edges[f"{self.name}.{READ}"] = read

    def follows(self, react: React, linger: timedelta = timedelta(0)) -> None:
        """What this service makes of the facts that it follows (`topology.FOLLOWERS`). `linger` trades a
        moment of delay for fewer commits."""
        user = self.settings.broker_user
        self._following = Following(self.name, user, react, self.journal, self.asker, linger)

    def run(self, prepare: Callable[[], Awaitable[None]] | None = None) -> None:
        logging.basicConfig(
            level=self.settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        set_up(self.name, self.process)
        uvloop.run(self._serve(prepare))

    async def _serve(self, prepare: Callable[[], Awaitable[None]] | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        await self._retry(lambda: self.journal.start(self._documents), "database")
        if prepare:
            await self._retry(prepare, "preparation")
        await self.asker.start()
        await self.relay.start()
        await self._link.start()
        await self._retry(self._subscribe, "broker")
        tasks = [asyncio.ensure_future(work()) for work in self.background]
        self._ready()
        logger.info("%s is ready", self.process)
        await self._stopping.wait()
        await self._stop(tasks)

    async def _retry(self, step: Callable[[], Awaitable[None]], what: str) -> None:
        """The broker or the database may come up later than we do."""
        pause = 0.1
        while True:
            try:
                await step()
                return
            except Exception as error:
                logger.warning("waiting for the %s: %r", what, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)

    async def _open_side_channel(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await topology.declare_for(channel, self.name)
        self._side_channel = channel
        if self._following:
            self._following.channel = channel

    async def _subscribe(self) -> None:
        """Consumers come last: whoever receives must be able to save, publish and park."""
        await self._link.opened(10)
        await self.asker.opened(10)
        if not self._broker.subscribers:
            for name, edge in self._edges.items():
                queue = RabbitQueue(name, durable=True, routing_key=name, arguments=_COMMAND_ARGUMENTS)
                self._broker.subscriber(
                    queue, _DIRECT, channel=self._asking, decoder=_as_it_is, ack_policy=AckPolicy.ACK
                )(self._answering(name, edge))
            if self._following:
                self._broker.subscriber(
                    RabbitQueue(topology.events_queue(self.name), declare=False),
                    channel=Channel(prefetch_count=EVENT_PREFETCH),
                    decoder=_as_it_is,
                    no_reply=True,
                    ack_policy=AckPolicy.NACK_ON_ERROR,
                )(self._on_event)
        await self._broker.start()

    def _on_own_behalf(self, caller: Caller, message: Any) -> bool:
        """Whether a process of ours reads for itself, and not for somebody who uses the portal.

        Where every service has its own broker user, the broker vouches for who sent the message."""
        sender = message.raw_message.user_id
        if self.settings.broker_user != self.name:
            return caller.subject.startswith(SERVICE)
        return bool(sender) and caller.subject == f"{SERVICE}{sender}"

    def _command(self, edge: CommandEdge) -> Edge:
        async def handle(body: bytes, caller: Caller, message: Any) -> bytes:
            raw = message.raw_message
            repeat = bool(raw.redelivered) or topology.RETRIED in raw.headers
            return await edge(body, caller, raw.message_id or "", repeat)

        return handle

    def _answering(self, name: str, edge: Edge) -> Callable[[Any], Awaitable[RabbitResponse | None]]:
        async def answer(message: Any) -> RabbitResponse | None:
            raw = message.raw_message
            if float(str(raw.headers.get(topology.DEADLINE, "inf"))) < time.time():
                # Nobody waits any more, and a command that nobody waits for must not surprise.
                logger.info("dropped an expired %s", name)
                return None
            self._in_flight += 1
            try:
                with span(
                    f"process {name}",
                    SpanKind.SERVER,
                    {
                        "messaging.system": "rabbitmq",
                        "messaging.operation.name": "process",
                        "messaging.operation.type": "process",
                        "messaging.destination.name": f"{topology.COMMANDS}:{name}:{name}",
                        "messaging.message.id": raw.message_id or "",
                    },
                    parent=str(raw.headers.get(topology.TRACEPARENT) or "") or None,
                ):
                    reply = await self._guarded(name, edge, message)
                    # A reply goes past the queues, and the broker hands a mandatory one back although it
                    # arrived. The client library then logs it as an error, secrets included.
                    return RabbitResponse(reply, mandatory=False)
            finally:
                self._in_flight -= 1

        return answer

    async def _guarded(self, name: str, edge: Edge, message: Any) -> bytes:
        try:
            caller = caller_from(message.raw_message.headers.get(topology.CALLER))
            answer = await edge(message.body, caller, message)
        except Refusal as refusal:
            return problem_bytes(refusal)
        except ValidationError:
            answer = problem_bytes(MalformedMessage("the caller or the body does not fit"))
        except Exception as error:
            logger.exception("%s failed", name)
            return problem_bytes(InternalError(type(error).__name__))
        if b'"code":"malformed_message"' in answer[:600] and not _is_json(message.body):
            # Not a client's mistake: whoever sends this is not one of ours. Kept for the operator.
            await parked.park(
                self._side_channel,
                self.name,
                self.settings.broker_user,
                "not a message of ours",
                message.raw_message,
            )
        return answer

    async def _on_event(self, message: Any) -> None:
        raw = message.raw_message
        following = self._following
        assert following is not None
        with span(
            f"process {topology.events_queue(self.name)}",
            SpanKind.CONSUMER,
            {
                "messaging.system": "rabbitmq",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": f"{topology.EVENTS}:{topology.events_queue(self.name)}",
                "messaging.rabbitmq.destination.routing_key": raw.routing_key or "",
                "messaging.message.id": raw.message_id or "",
            },
            parent=str(raw.headers.get(topology.TRACEPARENT) or "") or None,
        ):
            await following.receive(raw)

    async def _catch_up(self, message: Any) -> None:
        header = message.raw_message.headers.get(topology.AFTER)
        if not header or not self._following:
            return
        for service, org, sequence in orjson.loads(str(header)):
            if service != self.name:
                await self._following.feed.reach(Position(service, org, sequence), CATCH_UP_S)

    def _add_common(self) -> None:
        async def read_events(body: bytes, caller: Caller, message: Any) -> bytes:
            asked = ReadEvents.model_validate_json(body)
            facts = await self.journal.facts_after(asked.org, asked.after, asked.limit)
            return answer_bytes(encode(Events(facts=tuple(facts))), {})

        async def read_heads(body: bytes, caller: Caller, message: Any) -> bytes:
            asked = ReadHeads.model_validate_json(body)
            return answer_bytes(encode(Heads(sequences=await self.journal.heads(asked.orgs))), {})

        async def list_parked(body: bytes, caller: Caller, message: Any) -> bytes:
            asked = ListParked.model_validate_json(body)
            found = await parked.listing(self._side_channel, self.name, asked.limit)
            return answer_bytes(encode(Parked(messages=tuple(found))), {})

        async def replay_parked(body: bytes, caller: Caller, message: Any) -> bytes:
            asked = ReplayParked.model_validate_json(body)
            user = self.settings.broker_user
            done = await parked.replay(self._side_channel, self.name, user, set(asked.ids))
            return answer_bytes(encode(Replayed(replayed=tuple(done))), {})

        common = {
            READ_EVENTS: read_events,
            READ_HEADS: read_heads,
            LIST_PARKED: list_parked,
            REPLAY_PARKED: replay_parked,
        }
        self._edges |= {f"{self.name}.{message}": edge for message, edge in common.items()}

    def _ready(self) -> None:
        if self.settings.ready_file:
            self.settings.ready_file.parent.mkdir(parents=True, exist_ok=True)
            self.settings.ready_file.write_text(str(os.getpid()))

    async def _stop(self, tasks: Sequence[asyncio.Future[None]]) -> None:
        """Not ready, no new work, finish what runs, let the relay empty its window, then close."""
        if self.settings.ready_file:
            self.settings.ready_file.unlink(missing_ok=True)
        for subscriber in self._broker.subscribers:
            try:
                async with asyncio.timeout(2):
                    await subscriber.stop()
            except (Exception, asyncio.CancelledError) as error:
                logger.info("a subscriber stopped hard: %r", error)
        deadline = time.monotonic() + DRAIN_S
        while self._in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.relay.stop()
        await self.journal.stop()
        for closing in (self.asker.stop(), self._broker.stop(), self._link.stop()):
            try:
                async with asyncio.timeout(2):
                    await closing
            except (Exception, BrokerUnavailable) as error:
                logger.info("closed hard: %r", error)
        self.database.close()
        shut_down()


async def _as_it_is(message: Any) -> Any:
    """FastStream would decode the body; the edges do that, against the contract."""
    return message


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True
