"""Every query on letters that wait."""

from __future__ import annotations

from datetime import datetime

from libs.permissions import PLATFORM
from libs.store.commit import Author, Commit
from libs.store.database import Change, Documents, Index
from libs.store.journal import Journal
from services.identity.mail.domain import Letter

LETTERS = Documents(
    "letters",
    Letter,
    key=lambda letter: letter.id,
    indexes=[Index(("due_at",))],  # what is to be sent, longest due first
)
AT_ONCE = 20


async def due(journal: Journal, now: datetime) -> list[Letter]:
    scope = journal.database.tenant(PLATFORM)
    return await scope.find(LETTERS, {"due_at": {"$lte": now}}, sort="due_at", limit=AT_ONCE)


async def save(journal: Journal, change: Change) -> None:
    """Raises StateChanged if another replica was first."""
    author = Author("service:identity", "identity")
    await journal.commit(Commit(org=PLATFORM, changes=[change], events=[], author=author))
