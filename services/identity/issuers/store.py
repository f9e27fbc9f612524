"""Every query on foreign issuers."""

from __future__ import annotations

from libs.contracts.identity import Issuer
from libs.store.database import Documents, Index, Scope

ISSUERS = Documents(
    "issuers",
    Issuer,
    key=lambda issuer: issuer.id,
    indexes=[
        Index(("id",)),  # all of an organization; there are few
    ],
    # External roles are names that somebody else chose.
    opaque=frozenset({"settings"}),
)


async def issuer(scope: Scope, name: str) -> Issuer | None:
    return await scope.get(ISSUERS, name)


async def issuers(scope: Scope) -> list[Issuer]:
    return await scope.find(ISSUERS, {}, sort="id")
