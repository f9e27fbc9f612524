"""Every query on service accounts and their keys."""

from __future__ import annotations

from libs.contracts.identity import ServiceAccount
from libs.store.database import Documents, Index, Scope
from services.identity.accounts.domain import KeyUse, StoredKey, place

SERVICE_ACCOUNTS = Documents(
    "service_accounts",
    ServiceAccount,
    key=lambda account: account.id,
    indexes=[
        Index(("slug",), unique=True),  # by name; pages of an organization
    ],
)
API_KEYS = Documents(
    "api_keys",
    StoredKey,
    key=lambda key: key.id,
    indexes=[
        Index(("account",)),  # those of an account
        Index(("fingerprint",)),  # by what its holder shows
    ],
)
KEY_USES = Documents("key_uses", KeyUse, key=lambda use: use.key)


async def account(scope: Scope, name: str) -> ServiceAccount | None:
    return await scope.get(SERVICE_ACCOUNTS, name)


async def by_slug(scope: Scope, slug: str) -> ServiceAccount | None:
    return await scope.first(SERVICE_ACCOUNTS, {"slug": slug})


async def page(scope: Scope, after: str, limit: int) -> list[ServiceAccount]:
    return await scope.find(SERVICE_ACCOUNTS, {"slug": {"$gt": after}}, sort="slug", limit=limit)


async def key(scope: Scope, name: str) -> StoredKey | None:
    return await scope.get(API_KEYS, name)


async def by_fingerprint(scope: Scope, fingerprint: str) -> StoredKey | None:
    return await scope.first(API_KEYS, {"fingerprint": fingerprint})


async def keys(scope: Scope, account: str) -> list[StoredKey]:
    """All of an account, which are few; see `domain.MOST_KEYS`. Newest last."""
    return sorted(await scope.find(API_KEYS, {"account": account}), key=place)


async def use(scope: Scope, key: str) -> KeyUse | None:
    return await scope.get(KEY_USES, key)
