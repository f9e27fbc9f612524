"""Asking: a command or query out, its answer back over direct reply-to, many at once on one channel.

FastStream's own `request` is serial and its timeout does not bound the call; hence this client.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import unquote, urlparse

import orjson
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import AMQPException, DeliveryError
from pydantic import BaseModel, TypeAdapter

from libs.bus import topology
from libs.bus.link import BrokerUnavailable, Link
from libs.contracts.base import Asking, Caller, service_caller
from libs.contracts.common import (
    READ,
    READ_EVENTS,
    READ_HEADS,
    Events,
    Heads,
    NamedQuery,
    ReadEvents,
    ReadHeads,
    ReadTogether,
    Snapshot,
)
from libs.contracts.envelope import Fact, Position, Stream
from libs.errors import MalformedMessage, Problem, Refused, ServiceUnavailable, Unavailable
from libs.telemetry import SpanKind, current_traceparent, span

Value = TypeVar("Value")
TIMEOUT = timedelta(seconds=8)


class AnswerLate(Unavailable):
    """No answer within the deadline. The command may still have happened: ask again with the same key."""


@dataclass(frozen=True)
class Answered(Generic[Value]):
    """A value and the versions that the command reached."""

    value: Value
    reached: tuple[Position, ...]


class Asker:
    """The multiplexed client. One for each process."""

    def __init__(self, url: str, process: str) -> None:
        self._process = process
        self._user = unquote(urlparse(url).username or "guest")
        self._link = Link(url, f"{process} asks", self._set_up, self._fail_all)
        self._exchange: AbstractExchange | None = None
        self._channel: AbstractChannel | None = None
        self._pending: dict[str, asyncio.Future[AbstractIncomingMessage]] = {}

    @property
    def is_open(self) -> bool:
        return self._link.is_open

    async def start(self) -> None:
        await self._link.start()

    async def opened(self, timeout: float) -> None:
        await self._link.opened(timeout)

    async def stop(self) -> None:
        await self._link.stop()
        self._fail_all()

    async def ask(
        self,
        command: Asking[Value],
        caller: Caller,
        request: str | None = None,
        repeatable: bool = False,
        timeout: timedelta = TIMEOUT,
    ) -> Answered[Value]:
        """Sends a command and returns its answer. Raises Refused with the service's own problem, AnswerLate,
        or BrokerUnavailable. `repeatable` says that `request` was chosen by the client, who may repeat it."""
        body = _body_of(command)
        raw = await self.call(command.message, body, caller, request, repeatable, timeout)
        value = command.reply.validate_python(raw["value"])
        service = command.owner
        return Answered(value, tuple(Position(service, org, seq) for org, seq in raw["reached"].items()))

    async def read(
        self,
        service: str,
        org: str,
        queries: tuple[NamedQuery, ...],
        caller: Caller,
        after: tuple[Position, ...] = (),
        timeout: timedelta = TIMEOUT,
    ) -> Snapshot:
        """Several queries of one organization, answered from one snapshot no older than `after`."""
        raw = await self.call(
            f"{service}.{READ}",
            ReadTogether(org=org, queries=queries).model_dump_json().encode(),
            caller,
            timeout=timeout,
            after=after,
        )
        return Snapshot.model_validate(raw["value"])

    async def query(self, query: Asking[Value], caller: Caller, timeout: timedelta = TIMEOUT) -> Value:
        """One query, for a service that needs another's answer."""
        named = NamedQuery(query=query.message, args=query.model_dump(mode="json"))
        snapshot = await self.read(query.owner, query.tenant(), (named,), caller, timeout=timeout)
        answer = snapshot.answers[0]
        if answer.problem:
            raise Refused(answer.problem)
        value: Value = query.reply.validate_python(answer.value)
        return value

    async def events_after(self, stream: Stream, after: int, limit: int = 200) -> list[Fact]:
        """The owner's log, to fill a gap."""
        raw = await self.call(
            f"{stream.service}.{READ_EVENTS}",
            ReadEvents(org=stream.org, after=after, limit=limit).model_dump_json().encode(),
            service_caller(self._process),
        )
        return list(Events.model_validate(raw["value"]).facts)

    async def heads(self, service: str, orgs: tuple[str, ...]) -> dict[str, int]:
        raw = await self.call(
            f"{service}.{READ_HEADS}",
            ReadHeads(orgs=orgs).model_dump_json().encode(),
            service_caller(self._process),
        )
        return Heads.model_validate(raw["value"]).sequences

    async def common(
        self, service: str, message: str, body: BaseModel, reply: TypeAdapter[Value], caller: Caller
    ) -> Value:
        """One of the messages that every service answers (`libs.contracts.common`)."""
        raw = await self.call(f"{service}.{message}", body.model_dump_json().encode(), caller)
        return reply.validate_python(raw["value"])

    async def call(
        self,
        name: str,
        body: bytes,
        caller: Caller,
        request: str | None = None,
        repeatable: bool = False,
        timeout: timedelta = TIMEOUT,
        after: tuple[Position, ...] = (),
    ) -> dict[str, Any]:
        """One message and its decoded answer; the outer deadline covers everything."""
        identity = request or uuid.uuid4().hex
        correlation = uuid.uuid4().hex
        seconds = timeout.total_seconds()
        with span(
            f"send {topology.COMMANDS}:{name}",
            SpanKind.CLIENT,
            {
                "messaging.system": "rabbitmq",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": f"{topology.COMMANDS}:{name}",
                "messaging.rabbitmq.destination.routing_key": name,
                "messaging.message.id": identity,
                "messaging.message.conversation_id": correlation,
            },
        ):
            headers: dict[str, Any] = {
                topology.CALLER: caller.model_dump_json(),
                topology.DEADLINE: f"{time.time() + seconds:.3f}",
                topology.TRACEPARENT: current_traceparent() or "",
            }
            if repeatable:
                headers[topology.RETRIED] = "1"
            if after:
                headers[topology.AFTER] = orjson.dumps([list(position) for position in after]).decode()
            message = Message(
                body,
                content_type="application/json",
                message_id=identity,
                correlation_id=correlation,
                reply_to="amq.rabbitmq.reply-to",
                # The broker refuses any other, so the receiver can believe it.
                user_id=self._user,
                headers=headers,
            )
            answer: asyncio.Future[AbstractIncomingMessage] = asyncio.get_running_loop().create_future()
            self._pending[correlation] = answer
            try:
                async with asyncio.timeout(seconds):
                    if self._exchange is None or not self._link.is_open:
                        raise BrokerUnavailable("the broker cannot be reached")
                    await self._exchange.publish(message, routing_key=name, mandatory=True)
                    incoming = await answer
            except TimeoutError:
                raise AnswerLate(f"{name} did not answer within {seconds:g} s") from None
            except DeliveryError:
                raise ServiceUnavailable(f"nobody answers {name} now") from None
            except (AMQPException, ConnectionError, RuntimeError) as error:
                raise BrokerUnavailable(type(error).__name__) from error
            finally:
                self._pending.pop(correlation, None)
            raw: dict[str, Any] = orjson.loads(incoming.body)
            if not raw["ok"]:
                raise Refused(Problem.model_validate(raw["problem"]))
            return raw

    async def _set_up(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._channel = channel
        # The pseudo-queue of direct reply-to: consumed without acknowledgement, never declared.
        aiormq = await channel.get_underlay_channel()
        await aiormq.basic_consume("amq.rabbitmq.reply-to", self._on_reply_frame, no_ack=True)
        self._exchange = await channel.get_exchange(topology.COMMANDS, ensure=False)

    async def _on_reply_frame(self, frame: Any) -> None:
        correlation = frame.header.properties.correlation_id
        future = self._pending.get(correlation or "")
        if future and not future.done():
            future.set_result(frame)

    def _fail_all(self) -> None:
        self._exchange = None
        for future in self._pending.values():
            if not future.done():
                future.set_exception(BrokerUnavailable("the connection was lost while waiting"))


def _body_of(command: Asking[Any]) -> bytes:
    """As JSON, with secrets in the open: they travel to their owner and are stored nowhere on the way."""
    fields = command.model_dump(mode="python")
    try:
        return orjson.dumps(fields, default=_plain)
    except TypeError as error:
        # Free JSON of a client may hold what no service could read back.
        raise MalformedMessage(str(error)) from None


def _plain(value: Any) -> Any:
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    raise TypeError(type(value))
