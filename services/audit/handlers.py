"""The bus edge of the log: facts in, refused attempts in, searches out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from libs.contracts.audit import Entry, ListEntries, RecordRefusal
from libs.contracts.base import Event, Page
from libs.contracts.envelope import Fact, Stream
from libs.service.request import Request
from libs.store.database import Change, Database, Scope
from libs.telemetry import current_trace_id
from services.audit import domain, store


class Recorder:
    """Follows every other service. The frame saves what this returns together with the position."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, stream: Stream, facts: list[Fact]) -> tuple[Sequence[Change], Sequence[Event]]:
        ledger = await store.ledger(self._database.tenant(stream.org))
        moved, entries, events = domain.record(ledger, facts, datetime.now(UTC))
        return store.appended(moved, entries), events


async def record_refusal(command: RecordRefusal, request: Request) -> None:
    ledger = await store.ledger(request.scope)
    moved, entries, events = domain.record_refusal(
        ledger, command, request.caller, current_trace_id(), request.now
    )
    return await request.commit(store.appended(moved, entries), events, reply=None)


async def list_entries(query: ListEntries, scope: Scope) -> Page[Entry]:
    top = domain.ordinal_of(query.cursor) if query.cursor else (await store.ledger(scope)).recorded
    found, seen_down_to = await store.search(scope, query, top)
    return Page[Entry](items=tuple(found), next=domain.cursor_before(seen_down_to) if seen_down_to else None)
