"""Every query on organizations."""

from __future__ import annotations

from collections.abc import Sequence

from libs.contracts.base import Event
from libs.contracts.identity import Organization
from libs.service.request import Request
from libs.store.database import Change, Documents, Index, Scope
from services.identity.organizations.domain import Org

# Each organization lies in its own tenant.
ORGANIZATIONS = Documents(
    "organizations",
    Org,
    key=lambda org: org.id,
    indexes=[
        Index(("slug",), unique=True, across=True),  # one slug, one organization, for good
        Index(("id",), unique=True, across=True),  # the directory, page by page; names for a user's list
    ],
)


async def organization(scope: Scope, organization: str) -> Org | None:
    return await scope.of(organization).get(ORGANIZATIONS, organization)


async def by_slug(scope: Scope, slug: str) -> Org | None:
    found = await scope.across(ORGANIZATIONS, {"slug": slug}, sort="slug", limit=1)
    return found[0][1] if found else None


async def named(scope: Scope, organizations: Sequence[str]) -> dict[str, Org]:
    """Those of a user's list, in one query."""
    found = await scope.across(ORGANIZATIONS, {"id": {"$in": list(organizations)}}, sort="id", limit=0)
    return {org.id: org for _, org in found}


async def after(scope: Scope, organization: str, limit: int) -> list[Org]:
    found = await scope.across(ORGANIZATIONS, {"id": {"$gt": organization}}, sort="id", limit=limit)
    return [org for _, org in found]


def put(org: Org) -> Change:
    return ORGANIZATIONS.put(org, org=org.id)


async def save(request: Request, before: Org, org: Org, events: Sequence[Event]) -> Organization:
    changes = [put(org)] if org.revision > before.revision else []
    return await request.commit(changes, events, reply=org.view())


async def save_with(
    request: Request, org: Org, changes: Sequence[Change], events: Sequence[Event]
) -> Organization:
    """Together with what belongs to it."""
    return await request.commit([put(org), *changes], events, reply=org.view())


async def save_deleted(
    request: Request, org: Org, changes: Sequence[Change], events: Sequence[Event]
) -> None:
    await request.commit([put(org), *changes], events, reply=None)
