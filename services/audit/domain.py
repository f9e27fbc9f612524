"""Rules of the log: what an entry says, where it stands, and which search finds it. No I/O.

Entries are numbered in each organization in the order in which they were recorded. The number is the order
of every list and the meaning of every cursor, so new entries never shift what is still to be read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from libs.contracts.audit import EntriesRecorded, Entry, ListEntries, RecordRefusal
from libs.contracts.base import Caller, Event, Moment, Resource
from libs.contracts.envelope import Fact
from libs.errors import CursorUnknown

REFUSED = ".attempt_refused"
REMOVED = "[removed]"
# No message of ours carries these in the open; what people put into free fields is another matter.
_SECRETS = frozenset(
    {
        "access_token",
        "api_key",
        "authorization",
        "client_secret",
        "cookie",
        "id_token",
        "passwd",
        "password",
        "private_key",
        "refresh_token",
        "secret",
        "token",
    }
)
_CURSOR = "before "


class Ledger(Resource):
    """How far an organization's log reaches. Whoever adds entries also moves this, so no two numbers meet."""

    recorded: int = 0
    latest: Moment = datetime.fromtimestamp(0, UTC)


class Recorded(Entry, Resource):
    """An entry in its place. Written once, never changed."""

    ordinal: int
    # The resource and every node above it: one equality finds all that happened in a part of the tree.
    within: tuple[str, ...]
    # The latest occurrence up to here. Where it lies before what is searched for, all older entries do.
    latest: Moment


# The ledger moved on, the new entries, and what to tell about them.
Appended = tuple[Ledger, list[Recorded], list[Event]]


def record(ledger: Ledger, facts: Sequence[Fact], now: datetime) -> Appended:
    """Entries of facts of one stream, in the stream's order."""
    return _append(ledger, [_of_fact(fact, now) for fact in facts], facts[0].org)


def record_refusal(
    ledger: Ledger, attempt: RecordRefusal, caller: Caller, trace_id: str | None, now: datetime
) -> Appended:
    """The entry of an attempt that a gateway refused."""
    number = ledger.recorded + 1
    entry = Entry(
        id=f"gateway:{attempt.org}:{number}",
        action=attempt.action,
        outcome="refused",
        actor=caller.subject,
        actor_name=caller.name,
        resource=attempt.target,
        summary=f"{attempt.action} refused: {attempt.code}",
        occurred_at=now,
        recorded_at=now,
        address=caller.address,
        agent=caller.agent,
        session=caller.session,
        trace_id=trace_id,
        service="gateway",
        sequence=number,
        data={"code": attempt.code},
    )
    return _append(ledger, [entry], attempt.org)


def matches(entry: Recorded, search: ListEntries) -> bool:
    """Every condition of a search, whichever of them an index has answered already."""
    return (
        search.actor in (None, entry.actor)
        and search.outcome in (None, entry.outcome)
        and search.trace in (None, entry.trace_id)
        and _named(entry.action, search.action)
        and (_named(entry.resource, search.resource_prefix) or search.resource_prefix in entry.within)
        and (search.visible.everything or not set(visible_nodes(search)).isdisjoint(entry.within))
        and (search.since is None or entry.occurred_at >= search.since)
        and (search.until is None or entry.occurred_at < search.until)
    )


def visible_nodes(search: ListEntries) -> tuple[str, ...]:
    """The resources below which the caller may see entries, where that is not the whole organization."""
    return tuple(f"{search.org}/{path}" for path in search.visible.nodes())


def ends(entry: Recorded, search: ListEntries) -> bool:
    """True where nothing older can be found any more."""
    return search.since is not None and entry.latest < search.since


def cursor_before(ordinal: int) -> str:
    return base64.urlsafe_b64encode(f"{_CURSOR}{ordinal}".encode()).decode()


def ordinal_of(cursor: str) -> int:
    try:
        text = base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise CursorUnknown() from None
    number = text.removeprefix(_CURSOR)
    if number == text or not number.isdecimal() or len(number) > 18:
        raise CursorUnknown()
    return int(number)


def _of_fact(fact: Fact, now: datetime) -> Entry:
    refused = fact.type.endswith(REFUSED)
    return Entry(
        id=fact.id,
        action=str(fact.data.get("command", fact.type)) if refused else fact.type,
        outcome="refused" if refused else "done",
        actor=fact.actor,
        actor_name=fact.actor_name,
        resource=str(fact.data.get("target", fact.subject)) if refused else fact.subject,
        summary=fact.summary,
        occurred_at=fact.time,
        recorded_at=now,
        address=fact.address,
        agent=fact.agent,
        session=fact.session,
        trace_id=fact.trace_id,
        service=fact.service,
        sequence=fact.sequence,
        data=_without_secrets(fact.data),
    )


def _append(ledger: Ledger, entries: Sequence[Entry], org: str) -> Appended:
    recorded: list[Recorded] = []
    latest = ledger.latest
    for ordinal, entry in enumerate(entries, ledger.recorded + 1):
        latest = max(latest, entry.occurred_at)
        place = {"ordinal": ordinal, "within": _nodes(entry.resource), "latest": latest, "revision": 1}
        recorded.append(Recorded.model_validate(dict(entry) | place))
    moved = Ledger(recorded=ledger.recorded + len(recorded), latest=latest, revision=ledger.revision + 1)
    return moved, recorded, [EntriesRecorded(org=org, count=len(recorded))]


def _nodes(resource: str) -> tuple[str, ...]:
    parts = resource.split("/")
    return tuple("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))


def _named(value: str, wanted: str | None) -> bool:
    """Exactly, or by its beginning where the wanted name ends in `*`."""
    if wanted is None:
        return True
    return value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: REMOVED if str(key).lower() in _SECRETS else _without_secrets(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    return value
