"""Every query on applications."""

from __future__ import annotations

from typing import Any

from libs.contracts.base import Event
from libs.contracts.registry import App
from libs.permissions import Visible
from libs.service.request import Request
from libs.store.database import Documents, Index, Scope

APPS = Documents(
    "apps",
    App,
    key=lambda app: app.slug,
    indexes=[
        Index(("slug",)),  # pages of an organization
    ],
)


async def app(scope: Scope, slug: str) -> App | None:
    return await scope.get(APPS, slug)


async def page(scope: Scope, visible: Visible, after: str | None, limit: int) -> list[App]:
    where: dict[str, Any] = {"$gt": after or ""}
    if not visible.everything:
        where = {"$in": sorted(slug for slug in visible.apps if slug > (after or ""))[:limit]}
    return await scope.find(APPS, {"slug": where}, sort="slug", limit=limit)


async def save(request: Request, app: App, events: list[Event]) -> App:
    return await request.commit([APPS.put(app)], events, reply=app)
