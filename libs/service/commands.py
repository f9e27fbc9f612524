"""The bus edge of commands: message in → permission → handler → answer, with one effect for each id (G3)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import inspect
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, get_type_hints

import orjson
from pydantic import BaseModel, ValidationError

from libs.contracts.audit import AttemptRefused
from libs.contracts.base import Caller, Command
from libs.errors import (
    IdempotencyKeyReused,
    InternalError,
    MalformedMessage,
    PermissionMissing,
    Problem,
    Refusal,
    TooMany,
    WriteContention,
)
from libs.permissions import allows
from libs.service.request import Request
from libs.service.turns import Turns
from libs.store.commit import AlreadyAnswered, Author, Commit, RecordedReply, StateChanged
from libs.store.database import Database
from libs.store.journal import Journal
from libs.telemetry import current_trace_id

logger = logging.getLogger(__name__)
TRIES = 8

Handler = Callable[[Any, Request], Awaitable[Any]]


def contract_of(handler: Callable[..., Any]) -> type[Any]:
    """The message that a handler takes, read from its first parameter."""
    hints = get_type_hints(handler)
    first = next(name for name in inspect.signature(handler).parameters if name != "self")
    contract: type[Any] = hints[first]
    return contract


class CommandEdge:
    """Turns a message into a call of its handler, and what comes of it into an answer."""

    def __init__(
        self, service: str, database: Database, journal: Journal, handler: Handler, turns: Turns | None = None
    ) -> None:
        self._turns = turns or Turns()
        self.contract: type[Command[Any]] = contract_of(handler)
        self._handler = handler
        self._service = service
        self._database = database
        self._journal = journal
        # A handler that answers with secrets looks at repeated requests itself.
        self._replays_itself = getattr(handler, "replays_itself", False)

    async def __call__(self, body: bytes, caller: Caller, request_id: str, may_repeat: bool) -> bytes:
        """Always an answer: the value with the versions it reached, or a problem."""
        try:
            command = self.contract.model_validate_json(body)
        except ValidationError as error:
            return problem_bytes(MalformedMessage("the body does not fit", errors=field_errors(error)))
        fingerprint = _fingerprint(request_id, self.contract.message, body)
        try:
            if may_repeat and not self._replays_itself:
                recorded = await self._journal.recorded(request_id)
                if recorded:
                    return self._repeated(recorded, fingerprint)
            return await self._decide(command, caller, request_id, fingerprint, may_repeat)
        except AlreadyAnswered as answered:
            return self._repeated(answered.recorded, fingerprint)
        except Refusal as refusal:
            if refusal.problem().status >= 500 or refusal.problem().status == TooMany.status:
                # A fault, or having to wait, decides nothing: the same request may succeed later.
                return problem_bytes(refusal)
            return await self._record_refusal(command, caller, request_id, fingerprint, refusal)
        except Exception as error:
            logger.exception("%s failed", self.contract.message)
            return problem_bytes(InternalError(type(error).__name__))

    async def _decide(
        self, command: Command[Any], caller: Caller, request_id: str, fingerprint: str, may_repeat: bool
    ) -> bytes:
        if command.permission and not allows(caller.grants, command.permission, command.resource()):
            raise PermissionMissing(f"{command.permission} on {command.resource()}")
        for attempt in range(TRIES):
            if attempt > 2:
                # Within a process turns are taken; what is left is contention with another replica.
                await asyncio.sleep(random.uniform(0.2, 1.0) * 0.005 * 2**attempt)
            try:
                async with self._turns.behind(command.resource(), contended=attempt > 0):
                    return await self._handle(command, caller, request_id, fingerprint, may_repeat)
            except StateChanged:
                continue
        raise WriteContention(f"gave up after {TRIES} tries")

    async def _handle(
        self, command: Command[Any], caller: Caller, request_id: str, fingerprint: str, may_repeat: bool
    ) -> bytes:
        request = Request(
            id=request_id,
            caller=caller,
            org=command.tenant(),
            fingerprint=fingerprint,
            now=datetime.now(UTC),
            scope=self._database.tenant(command.tenant()),
            journal=self._journal,
        )
        value = await self._handler(command, request)
        if may_repeat and not request.reached and not self._replays_itself:
            # Nothing was left to do; perhaps because the first try, slow to answer, did it meanwhile.
            recorded = await self._journal.recorded(request_id)
            if recorded:
                raise AlreadyAnswered(recorded)
        return answer_bytes(encode(value), request.reached)

    def _repeated(self, recorded: RecordedReply, fingerprint: str) -> bytes:
        if recorded.fingerprint != fingerprint:
            return problem_bytes(IdempotencyKeyReused("the key was used with another request"))
        if not recorded.ok:
            return b'{"ok":false,"problem":' + recorded.body + b"}"
        return answer_bytes(recorded.body, recorded.reached)

    async def _record_refusal(
        self, command: Command[Any], caller: Caller, request_id: str, fingerprint: str, refusal: Refusal
    ) -> bytes:
        """A refused attempt is a fact too, and a repeated request gets the same refusal."""
        problem = refusal.problem().model_copy(update={"trace_id": current_trace_id()})
        attempt = AttemptRefused(
            org=command.tenant(),
            target=command.resource(),
            command=command.message,
            code=problem.code,
            attempt=command.attempt(),
        )
        commit = Commit(
            org=command.tenant(),
            changes=(),
            events=(attempt,),
            author=Author(
                caller.subject, caller.name, caller.address, caller.agent, caller.session, request_id
            ),
            request=request_id,
            fingerprint=fingerprint,
            ok=False,
            reply=problem.model_dump_json().encode(),
        )
        try:
            await self._journal.commit(commit)
        except AlreadyAnswered as answered:
            recorded = answered.recorded
            if self._replays_itself and recorded.ok and recorded.fingerprint == fingerprint:
                # The record lacks the secrets of the first answer, and this caller has not proved itself.
                return problem_bytes(refusal)
            return self._repeated(recorded, fingerprint)
        except (StateChanged, Refusal) as error:
            logger.warning("a refusal could not be recorded: %r", error)
            return problem_bytes(WriteContention("the attempt could not be recorded"))
        return problem_bytes(refusal)


def caller_from(header: object) -> Caller:
    """The caller as the gateway wrote it down; a message without one comes from nobody."""
    if isinstance(header, str | bytes) and header:
        return Caller.model_validate_json(header)
    return Caller(subject="")


def encode(value: Any) -> bytes:
    if isinstance(value, BaseModel):
        return value.model_dump_json().encode()
    return orjson.dumps(value)


def answer_bytes(value: bytes, reached: dict[str, int]) -> bytes:
    return b'{"ok":true,"reached":' + orjson.dumps(reached) + b',"value":' + value + b"}"


def problem_bytes(refusal: Refusal) -> bytes:
    problem: Problem = refusal.problem().model_copy(update={"trace_id": current_trace_id()})
    return b'{"ok":false,"problem":' + problem.model_dump_json().encode() + b"}"


def field_errors(error: ValidationError) -> tuple[dict[str, Any], ...]:
    """Which field and why, without the value: it may be a secret."""
    return tuple(
        {"field": ".".join(str(part) for part in one["loc"]), "message": one["msg"], "code": one["type"]}
        for one in error.errors(include_url=False, include_input=False, include_context=False)
    )


def _fingerprint(request_id: str, message: str, body: bytes) -> str:
    """Tells two requests under one key apart. Keyed and slow to guess from: a body may hold a password."""
    key = hashlib.sha256(request_id.encode()).digest()
    if b"password" in body:
        fields = orjson.loads(body)
        for name in [name for name in fields if name.endswith("password")]:
            del fields[name]
        body = orjson.dumps(fields)
    return hmac.new(key, message.encode() + b"\0" + body, hashlib.sha256).hexdigest()
