"""Every query on trust rules, and on the tokens of runners that have been exchanged."""

from __future__ import annotations

import hashlib

from libs.contracts.identity import TrustRule
from libs.store.database import Documents, Index, Scope
from services.identity.oauth.trust.domain import Shown

TRUST_RULES = Documents(
    "trust_rules",
    TrustRule,
    key=lambda rule: rule.id,
    indexes=[Index(("account",))],  # those of an account
    opaque=frozenset({"claims"}),
)
SHOWN = Documents(
    "exchanged_tokens",
    Shown,
    key=lambda shown: shown.id,
    indexes=[Index(("expires_at",), across=True, expire_after_seconds=3_600)],  # forgotten by themselves
)


async def rule(scope: Scope, rule: str) -> TrustRule | None:
    return await scope.get(TRUST_RULES, rule)


async def rules(scope: Scope, account: str) -> list[TrustRule]:
    """Oldest first."""
    found = await scope.find(TRUST_RULES, {"account": account})
    return sorted(found, key=lambda rule: (rule.created_at, rule.id))


async def shown(scope: Scope, token: str) -> Shown | None:
    return await scope.get(SHOWN, name_of(token))


def name_of(token: str) -> str:
    """Of any length, so it is kept by its hash."""
    return hashlib.sha256(token.encode()).hexdigest()
