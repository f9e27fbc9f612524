"""Every query on users."""

from __future__ import annotations

from libs.contracts.base import Event
from libs.contracts.identity import User
from libs.permissions import PLATFORM
from libs.service.request import Request
from libs.store.commit import Author, Commit
from libs.store.database import Documents, Index, Scope
from libs.store.journal import Journal
from services.identity.users.domain import Account

ACCOUNTS = Documents(
    "users",
    Account,
    key=lambda account: account.id,
    indexes=[
        Index(("email",), unique=True),  # sign-in; users are in one tenant, so unique everywhere
        Index(("operator",)),  # the few who operate the installation
    ],
)


async def by_id(scope: Scope, user: str) -> Account | None:
    return await scope.of(PLATFORM).get(ACCOUNTS, user)


async def by_email(scope: Scope, email: str) -> Account | None:
    return await scope.of(PLATFORM).first(ACCOUNTS, {"email": email})


async def operators(scope: Scope) -> list[Account]:
    return await scope.of(PLATFORM).find(ACCOUNTS, {"operator": True})


async def save(request: Request, account: Account, events: list[Event]) -> User:
    return await request.commit([ACCOUNTS.put(account)], events, reply=account.view())


async def save_unasked(journal: Journal, account: Account, events: list[Event]) -> None:
    """What the service does on its own behalf. Raises StateChanged if another replica was first."""
    author = Author("service:identity", "identity")
    await journal.commit(Commit(org=PLATFORM, changes=[ACCOUNTS.put(account)], events=events, author=author))
