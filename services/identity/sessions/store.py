"""Every query on sessions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from libs.contracts.base import Event, View
from libs.contracts.identity import Tokens
from libs.permissions import PLATFORM
from libs.service.request import Request
from libs.store.commit import Commit
from libs.store.database import Change, Documents, Index, Scope
from services.identity.sessions.domain import Session

A_DAY = 86_400
SESSIONS = Documents(
    "sessions",
    Session,
    key=lambda session: session.id,
    indexes=[
        Index(("user", "ended_at", "id")),  # those of a user that go on, in pages
        Index(("ended_at",)),  # those whose access tokens still run
        Index(("expires_at",), across=True, expire_after_seconds=A_DAY),  # forgotten by themselves
    ],
)


class Issued(View):
    """What is recorded of an answer that holds tokens: enough to derive them again."""

    session: str
    generation: int


async def session(scope: Scope, session: str) -> Session | None:
    return await scope.of(PLATFORM).get(SESSIONS, session)


async def open_of(scope: Scope, user: str, after: str = "", limit: int = 0) -> list[Session]:
    """Those of a user that have not ended, by id."""
    where = {"user": user, "ended_at": None, "id": {"$gt": after}}
    return await scope.of(PLATFORM).find(SESSIONS, where, sort="id", limit=limit)


async def ended_since(scope: Scope, moment: datetime) -> list[Session]:
    return await scope.of(PLATFORM).find(SESSIONS, {"ended_at": {"$gt": moment}})


async def save_opened(
    request: Request, opened: Session, changes: Sequence[Change], events: Sequence[Event], tokens: Tokens
) -> Tokens:
    recorded = Issued(session=opened.id, generation=opened.generation)
    return await request.commit(changes, events, reply=tokens, recorded=recorded)


async def save_turned(
    request: Request, before: Session, turned: Session, events: Sequence[Event], tokens: Tokens
) -> Tokens:
    """One atomic claim: of two that turn the same generation, the second finds it turned."""
    changes = [SESSIONS.put(turned)] if turned.revision > before.revision else []
    recorded = Issued(session=turned.id, generation=turned.generation)
    return await request.commit(changes, events, reply=tokens, recorded=recorded)


async def save_ended(request: Request, before: Session, ended: Session, events: Sequence[Event]) -> None:
    changes = [SESSIONS.put(ended)] if ended.revision > before.revision else []
    await request.commit(changes, events, reply=None)


async def save_ended_though_refused(request: Request, ended: Session, events: Sequence[Event]) -> None:
    """Under no request id: that belongs to the refusal, which the edge records."""
    await request.journal.commit(
        Commit(
            org=PLATFORM,
            changes=[SESSIONS.put(ended)],
            events=events,
            author=request.author(),
            now=request.now,
        )
    )
