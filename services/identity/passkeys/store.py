"""Every query on passkeys, and on challenges that were answered."""

from __future__ import annotations

from libs.permissions import PLATFORM
from libs.service.request import Request
from libs.store.commit import Commit
from libs.store.database import Documents, Index, Scope
from services.identity.passkeys.domain import SpentChallenge, StoredPasskey

PASSKEYS = Documents(
    "passkeys",
    StoredPasskey,
    key=lambda passkey: passkey.id,
    indexes=[Index(("user",))],  # those of an account
)
SPENT_CHALLENGES = Documents(
    "spent_challenges",
    SpentChallenge,
    key=lambda challenge: challenge.id,
    indexes=[Index(("expires_at",), across=True, expire_after_seconds=60)],  # forgotten by themselves
)


async def passkey(scope: Scope, name: str) -> StoredPasskey | None:
    return await scope.of(PLATFORM).get(PASSKEYS, name)


async def of_user(scope: Scope, user: str) -> list[StoredPasskey]:
    """Oldest first."""
    found = await scope.of(PLATFORM).find(PASSKEYS, {"user": user})
    return sorted(found, key=lambda passkey: (passkey.created_at, passkey.id))


async def is_spent(scope: Scope, challenge: str) -> bool:
    return await scope.of(PLATFORM).get(SPENT_CHALLENGES, challenge) is not None


async def save_distrusted(request: Request, passkey: StoredPasskey) -> None:
    """Under no request id: that belongs to the refusal, which the edge records."""
    await request.journal.commit(
        Commit(
            org=PLATFORM, changes=[PASSKEYS.put(passkey)], events=[], author=request.author(), now=request.now
        )
    )
