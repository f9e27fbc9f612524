"""The bus edge of queries: several named queries of one organization, answered from one snapshot."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from libs.contracts.base import Caller, Query
from libs.contracts.common import NamedQuery, ReadTogether
from libs.errors import InternalError, MalformedMessage, PermissionMissing, Refusal, UnknownQuery
from libs.narrowing import narrowed_query
from libs.service.commands import answer_bytes, contract_of, encode, field_errors, problem_bytes
from libs.store.database import Database, Scope
from libs.telemetry import current_trace_id, span

logger = logging.getLogger(__name__)

QueryHandler = Callable[[Any, Scope], Awaitable[Any]]
Reading = TypeVar("Reading", bound=Callable[..., Awaitable[Any]])


def reads_across(handler: Reading) -> Reading:
    """Marks a query that reads several organizations, and so is always answered from a transaction."""
    handler.reads_across = True  # type: ignore[attr-defined]  # a mark on a function
    return handler


class QueryEdge:
    """All queries of a service by name."""

    def __init__(
        self,
        database: Database,
        handlers: Sequence[QueryHandler],
        known_head: Callable[[str], int | None] = lambda org: None,
    ) -> None:
        """`known_head` tells of a committed sequence of an organization without asking the database."""
        self._database = database
        self._known_head = known_head
        self._handlers: dict[str, tuple[type[Query[Any]], QueryHandler]] = {}
        for handler in handlers:
            contract = contract_of(handler)
            self._handlers[contract.message] = (contract, handler)

    async def __call__(self, body: bytes, caller: Caller, on_own_behalf: bool) -> bytes:
        """`on_own_behalf` is true for a service or a gateway that reads for itself, for instance what many
        callers share: then what may be seen is as it says. For anybody else it follows from their grants."""
        try:
            asked = ReadTogether.model_validate_json(body)
        except ValidationError as error:
            return problem_bytes(MalformedMessage("the body does not fit", errors=field_errors(error)))
        try:
            sequence, answers = await self._read(asked, None if on_own_behalf else caller)
        except Refusal as refusal:
            return problem_bytes(refusal)
        value = b'{"sequence":%d,"answers":[%s]}' % (sequence, b",".join(answers))
        return answer_bytes(value, {asked.org: sequence})

    async def _read(self, asked: ReadTogether, caller: Caller | None) -> tuple[int, list[bytes]]:
        """Everything from one moment. Each commit moves the head, so a head that stood still while we read
        proves that; it costs less than a transaction, which is taken when the head keeps moving."""
        if not any(self._needs_snapshot(one) for one in asked.queries):
            scope = self._database.tenant(asked.org)
            known = self._known_head(asked.org)
            before = await scope.head() if known is None else known
            for _ in range(1 if known is None else 2):
                answers = [await self._answer(one, asked.org, caller, scope) for one in asked.queries]
                after = await scope.head()
                if after == before:
                    return before, answers
                # It moved, or what was known was old: another replica writes too.
                before = after
        async with self._database.snapshot(asked.org) as scope:
            sequence = await scope.head()
            return sequence, [await self._answer(one, asked.org, caller, scope) for one in asked.queries]

    def _needs_snapshot(self, asked: NamedQuery) -> bool:
        """True for a query that reads other organizations, whose commits move other heads."""
        found = self._handlers.get(asked.query)
        return found is not None and getattr(found[1], "reads_across", False)

    async def _answer(self, asked: NamedQuery, org: str, caller: Caller | None, scope: Scope) -> bytes:
        try:
            if asked.query not in self._handlers:
                raise UnknownQuery(asked.query)
            contract, handler = self._handlers[asked.query]
            query = contract.model_validate_json(orjson.dumps(asked.args))
            if query.tenant() != org:
                raise PermissionMissing("another organization")
            if caller is not None:
                query = narrowed_query(query, caller.grants)
            with span(asked.query):
                return b'{"value":' + encode(await handler(query, scope)) + b"}"
        except ValidationError as error:
            refusal: Refusal = MalformedMessage("the arguments do not fit", errors=field_errors(error))
        except Refusal as error:
            if error.status == 503:
                raise
            refusal = error
        except Exception as error:
            logger.exception("%s failed", asked.query)
            refusal = InternalError(type(error).__name__)
        problem = refusal.problem().model_copy(update={"trace_id": current_trace_id()})
        return b'{"problem":' + problem.model_dump_json().encode() + b"}"
