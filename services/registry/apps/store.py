"""Every query on applications."""

from __future__ import annotations

from libs.contracts.base import Event
from libs.contracts.registry import App
from libs.permissions import Visible, visible_part
from libs.service.request import Request
from libs.store import pages
from libs.store.database import Documents, Index, Scope
from services.registry.apps.domain import KnownApp, shown

APPS = Documents(
    "apps",
    KnownApp,
    key=lambda app: app.slug,
    indexes=[
        Index(("slug",)),  # pages of an organization
    ],
)


async def app(scope: Scope, slug: str) -> KnownApp | None:
    return await scope.get(APPS, slug)


async def page(scope: Scope, visible: Visible, after: str | None, limit: int) -> list[KnownApp]:
    only = None if visible.everything else visible.apps
    return await pages.by_name(scope, APPS, {}, "slug", only, after, limit)


async def save(request: Request, app: KnownApp, events: list[Event]) -> App:
    """The reply tells of the versions what its reader may see."""
    versions_of = visible_part(request.caller.grants, "version:read", request.org)
    return await request.commit([APPS.put(app)], events, reply=shown(app, versions_of))
