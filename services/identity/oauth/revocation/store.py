"""Every query on access tokens that ended before their time."""

from __future__ import annotations

from datetime import datetime

from libs.permissions import PLATFORM
from libs.store.database import Documents, Index, Scope
from services.identity.oauth.revocation.domain import Revoked

REVOKED = Documents(
    "revoked_tokens",
    Revoked,
    key=lambda revoked: revoked.id,
    indexes=[
        Index(("expires_at",)),  # those that would still run
        Index(("expires_at",), across=True, expire_after_seconds=3_600),  # forgotten by themselves
    ],
)


async def revoked(scope: Scope, token: str) -> Revoked | None:
    return await scope.of(PLATFORM).get(REVOKED, token)


async def running_at(scope: Scope, moment: datetime) -> list[Revoked]:
    return await scope.of(PLATFORM).find(REVOKED, {"expires_at": {"$gt": moment}})
