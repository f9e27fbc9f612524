"""Every query on the log. Entries are inserted only; nothing here replaces or deletes one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from libs.contracts.audit import ListEntries
from libs.store.database import Change, Documents, Index, Scope
from services.audit import domain
from services.audit.domain import Ledger, Recorded

# One for each equality that a search may start from. Each ends with the ordinal, which bounds and orders it.
INDEXES = (
    Index(("ordinal",)),  # the whole log
    Index(("trace_id", "ordinal")),  # what one request did
    Index(("actor", "ordinal")),  # what somebody did
    Index(("action", "ordinal")),  # where something was done
    Index(("within", "ordinal")),  # what happened to a resource or below it
    Index(("outcome", "ordinal"), where=(("outcome", "refused"),)),  # what was refused
)

ENTRIES = Documents(
    "entries",
    Recorded,
    key=lambda entry: f"{entry.ordinal:020d}",
    indexes=INDEXES,
    opaque=frozenset({"data"}),  # attempts hold names that users chose
)
LEDGERS = Documents("ledgers", Ledger, key=lambda _: "log")
DOCUMENTS = (ENTRIES, LEDGERS)

# A search reads ranges of ordinals, wider as long as they hold little. The embedded database pays for every
# row in the range, whatever the limit; a server stops at the limit.
FIRST_RANGE = 50
WIDEST_RANGE = 8_000
# A search that finds little hands out what it has, with a cursor, rather than outlast its caller.
MOST_ROWS = 20_000
MOST_RANGES = 200
# A long `$in` costs the embedded database more than its length. Who may see so much is better served by
# reading the log and leaving out what lies elsewhere.
MOST_NODES = 50


async def ledger(scope: Scope) -> Ledger:
    return await scope.get(LEDGERS, "log") or Ledger()


def appended(ledger: Ledger, entries: Sequence[Recorded]) -> list[Change]:
    """What a commit writes: the entries, and the ledger that gave them their numbers."""
    return [*(ENTRIES.put(entry) for entry in entries), LEDGERS.put(ledger)]


async def search(scope: Scope, query: ListEntries, top: int) -> tuple[list[Recorded], int]:
    """Matches at or below an ordinal, newest first, and the ordinal down to which everything was seen."""
    where = _start(query)
    found: list[Recorded] = []
    width, rows_read = max(FIRST_RANGE, query.limit), 0
    for _ in range(MOST_RANGES):
        bottom = max(top - width, 0)
        reach = {**where, "ordinal": {"$gt": bottom, "$lte": top}}
        rows = await scope.find(ENTRIES, reach, sort="-ordinal", limit=width)
        for row in rows:
            if domain.ends(row, query):
                return found, 0
            if domain.matches(row, query):
                found.append(row)
                if len(found) == query.limit:
                    return found, row.ordinal - 1
        top = bottom
        rows_read += len(rows)
        if top == 0 or rows_read >= MOST_ROWS:
            break
        if len(rows) < width / 4:
            width = min(width * 4, WIDEST_RANGE)
    return found, top


def _start(query: ListEntries) -> dict[str, Any]:
    """The narrowest equality, and no more: an index of the embedded database must hold the whole filter."""
    if query.trace:
        return {"trace_id": query.trace}
    if query.actor:
        return {"actor": query.actor}
    if query.resource_prefix and not query.resource_prefix.endswith("*"):
        return {"within": query.resource_prefix}
    if query.action and not query.action.endswith("*"):
        return {"action": query.action}
    if not query.visible.everything and len(query.visible.nodes()) <= MOST_NODES:
        return {"within": {"$in": list(domain.visible_nodes(query))}}
    return {"outcome": "refused"} if query.outcome == "refused" else {}
