"""Every query on applications."""

from __future__ import annotations

from libs.contracts.base import Event
from libs.contracts.registry import App
from libs.permissions import Visible
from libs.service.request import Request
from libs.store.database import Documents, Scope

# Pages of an organization go by name, which is the key: no index beyond that is needed.
APPS = Documents("apps", App, key=lambda app: app.slug)


async def app(scope: Scope, slug: str) -> App | None:
    return await scope.get(APPS, slug)


async def page(scope: Scope, visible: Visible, after: str | None, limit: int) -> list[App]:
    return await scope.page(APPS, after, limit, None if visible.everything else visible.apps)


async def save(request: Request, app: App, events: list[Event]) -> App:
    return await request.commit([APPS.put(app)], events, reply=app)
