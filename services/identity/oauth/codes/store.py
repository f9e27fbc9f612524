"""Every query on authorization codes."""

from __future__ import annotations

from libs.permissions import PLATFORM
from libs.store.database import Documents, Index, Scope
from services.identity.oauth.codes.domain import Code

AN_HOUR = 3_600
CODES = Documents(
    "authorization_codes",
    Code,
    key=lambda code: code.id,
    # Kept for a while, so that one which is used again is known.
    indexes=[Index(("expires_at",), across=True, expire_after_seconds=AN_HOUR)],
)


async def code(scope: Scope, code: str) -> Code | None:
    return await scope.of(PLATFORM).get(CODES, code)
