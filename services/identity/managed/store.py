"""Every query on managed users."""

from __future__ import annotations

from libs.store.database import Change, Documents, Index, Scope
from services.identity.managed.domain import Managed

MANAGED = Documents(
    "managed_users",
    Managed,
    key=lambda managed: managed.id,
    indexes=[
        Index(("handle",), unique=True),  # by name
        Index(("id",)),  # pages of an organization
        Index(("email",)),  # by address
        Index(("external_id",)),  # by the name that whoever provisions has for them
        Index(("links",)),  # by foreign identity
    ],
    # Names and values that somebody else chose.
    opaque=frozenset({"profile"}),
)


async def by_id(scope: Scope, organization: str, user: str) -> Managed | None:
    return await scope.of(organization).get(MANAGED, user)


async def by_handle(scope: Scope, handle: str) -> Managed | None:
    return await scope.first(MANAGED, {"handle": handle})


async def by_email(scope: Scope, email: str) -> list[Managed]:
    return await scope.find(MANAGED, {"email": email}, limit=2)


async def by_external_id(scope: Scope, external_id: str) -> list[Managed]:
    return await scope.find(MANAGED, {"external_id": external_id}, limit=2)


async def by_link(scope: Scope, link: str) -> Managed | None:
    return await scope.first(MANAGED, {"links": link})


async def page(scope: Scope, after: str, limit: int) -> list[Managed]:
    return await scope.find(MANAGED, {"id": {"$gt": after}}, sort="id", limit=limit)


def put(organization: str, managed: Managed) -> Change:
    return MANAGED.put(managed, org=organization)
