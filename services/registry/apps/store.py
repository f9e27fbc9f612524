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
        Index(("slug",)),  # pages of an organization, by name
    ],
)


async def app(scope: Scope, slug: str) -> App | None:
    return await scope.get(APPS, slug)


async def page(scope: Scope, visible: Visible, after: str | None, limit: int) -> list[App]:
    where: dict[str, Any] = {}
    if after:
        where["slug"] = {"$gt": after}
    if not visible.everything:
        where["slug"] = {**where.get("slug", {}), "$in": list(visible.apps)}
    return await scope.find(APPS, where, sort="slug", limit=limit)


async def save(request: Request, app: App, events: list[Event]) -> App:
    return await request.commit([APPS.put(app)], events, reply=app)
