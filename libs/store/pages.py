"""Pages of lists that are narrowed to what a caller may see: complete, in order, never cut short.

A caller may be shown many names, of which few or none are there. They are asked for in handfuls, because a
long `$in` costs the embedded database more than its length, and as many handfuls as the page needs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from libs.contracts.base import Resource
from libs.store.database import Documents, Filter, Scope

State = TypeVar("State", bound=Resource)
HANDFUL = 50


async def by_name(
    scope: Scope,
    documents: Documents[State],
    where: Filter,
    field: str,
    only: Sequence[str] | None,
    after: str | None,
    limit: int,
) -> list[State]:
    """Rows in the order of `field`, which tells them apart. `only` are the names that may be shown."""
    start = after or ""
    if only is None:
        return await scope.find(documents, {**where, field: {"$gt": start}}, sort=field, limit=limit)
    found: list[State] = []
    for names in _handfuls(sorted(name for name in only if name > start)):
        wanted = limit - len(found)
        found += await scope.find(documents, {**where, field: {"$in": names}}, sort=field, limit=wanted)
        if len(found) >= limit:
            break
    return found


async def newest_of(
    scope: Scope,
    documents: Documents[State],
    where: Filter,
    field: str,
    only: Sequence[str],
    order: str,
    limit: int,
) -> list[State]:
    """Rows whose `field` is one of the names that may be shown, by falling `order`."""
    parts = [
        await scope.find(documents, {**where, field: {"$in": names}}, sort=f"-{order}", limit=limit)
        for names in _handfuls(sorted(only))
    ]
    merged = heapq.merge(*parts, key=attrgetter(order), reverse=True)
    return [row for row, _ in zip(merged, range(limit), strict=False)]


def page_of(found: Sequence[Any], limit: int, name: str) -> tuple[tuple[Any, ...], str | None]:
    """The page and its cursor, of rows that were asked for with one more than the limit."""
    shown = tuple(found[:limit])
    return shown, (str(getattr(shown[-1], name)) if len(found) > limit else None)


def _handfuls(names: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), HANDFUL):
        yield list(names[start : start + HANDFUL])
