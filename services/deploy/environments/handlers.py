"""The bus edge of environments: load, decide, save."""

from __future__ import annotations

from libs.contracts.base import Page
from libs.contracts.deploy import (
    CreateEnvironment,
    Environment,
    GetEnvironment,
    ListEnvironments,
    UpdateEnvironment,
)
from libs.service.request import Request
from libs.store.database import Scope
from libs.store.pages import page_of
from services.deploy.environments import domain, store


async def create_environment(command: CreateEnvironment, request: Request) -> Environment:
    environment, events = domain.create(await store.environment(request.scope, command.slug), command)
    return await store.save(request, environment, events)


async def update_environment(command: UpdateEnvironment, request: Request) -> Environment:
    environment, events = domain.update(await store.environment(request.scope, command.slug), command)
    return await store.save(request, environment, events)


async def get_environment(query: GetEnvironment, scope: Scope) -> Environment:
    return domain.known(await store.environment(scope, query.environment), query.environment)


async def list_environments(query: ListEnvironments, scope: Scope) -> Page[Environment]:
    defaults = domain.defaults_after(query.cursor)
    changed = await store.stored(scope, defaults) if defaults else []
    # Defaults that were changed lie among the others too.
    most = query.limit + 1 + len(domain.DEFAULTS)
    others = await store.after(scope, domain.added_after(query.cursor), most)
    items, following = page_of(domain.page(defaults, changed, others), query.limit, "slug")
    return Page[Environment](items=items, next=following)
