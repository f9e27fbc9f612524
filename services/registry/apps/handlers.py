"""The bus edge of applications: load, decide, save."""

from __future__ import annotations

from libs.contracts.base import Page
from libs.contracts.registry import App, CreateApp, GetApp, ListApps, UpdateApp
from libs.service.request import Request
from libs.store.database import Scope
from libs.store.pages import page_of
from services.registry.apps import domain, store


async def create_app(command: CreateApp, request: Request) -> App:
    existing = await store.app(request.scope, command.slug)
    app, events = domain.create(existing, command, request.caller.subject, request.now)
    return await store.save(request, app, events)


async def update_app(command: UpdateApp, request: Request) -> App:
    app, events = domain.update(await store.app(request.scope, command.slug), command)
    return await store.save(request, app, events)


async def get_app(query: GetApp, scope: Scope) -> App:
    return domain.shown(domain.known(await store.app(scope, query.app), query.app), query.versions_of)


async def list_apps(query: ListApps, scope: Scope) -> Page[App]:
    found = await store.page(scope, query.visible, query.cursor, query.limit + 1)
    apps, following = page_of(found, query.limit, "slug")
    return Page[App](items=tuple(domain.shown(app, query.versions_of) for app in apps), next=following)
