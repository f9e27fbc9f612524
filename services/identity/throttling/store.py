"""Every query on tries and known addresses; replicas share them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from libs.contracts.base import Event
from libs.permissions import PLATFORM
from libs.service.request import Request
from libs.store.commit import Commit
from libs.store.database import Change, Documents, Index, Scope
from services.identity.throttling.domain import Counter, KnownAddress, Tries

TRIES = Documents(
    "tries",
    Tries,
    key=lambda tries: tries.id,
    indexes=[Index(("expires_at",), across=True, expire_after_seconds=0)],  # forgotten by themselves
)
KNOWN_ADDRESSES = Documents(
    "known_addresses",
    KnownAddress,
    key=lambda known: known.id,
    indexes=[Index(("expires_at",), across=True, expire_after_seconds=0)],  # forgotten by themselves
)


async def tries(scope: Scope, counters: Iterable[Counter]) -> list[tuple[Counter, Tries | None]]:
    return [(one, await scope.of(PLATFORM).get(TRIES, one.id)) for one in counters]


async def known(scope: Scope, name: str) -> KnownAddress | None:
    return await scope.of(PLATFORM).get(KNOWN_ADDRESSES, name)


async def save_apart(request: Request, changes: Sequence[Change], events: Sequence[Event]) -> None:
    """Under no request id, as the request itself will be refused. Raises StateChanged."""
    await request.journal.commit(
        Commit(org=PLATFORM, changes=changes, events=events, author=request.author(), now=request.now)
    )
