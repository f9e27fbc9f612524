"""Every query on environments."""

from __future__ import annotations

from collections.abc import Sequence

from libs.contracts.base import Event
from libs.contracts.deploy import Environment
from libs.service.request import Request
from libs.store.database import Documents, Index, Scope

ENVIRONMENTS = Documents(
    "environments",
    Environment,
    key=lambda environment: environment.slug,
    indexes=[
        Index(("slug",)),  # pages of an organization
    ],
)


async def environment(scope: Scope, slug: str) -> Environment | None:
    return await scope.get(ENVIRONMENTS, slug)


async def stored(scope: Scope, slugs: Sequence[str]) -> list[Environment]:
    return await scope.find(ENVIRONMENTS, {"slug": {"$in": list(slugs)}}, sort="slug")


async def after(scope: Scope, slug: str, limit: int) -> list[Environment]:
    return await scope.find(ENVIRONMENTS, {"slug": {"$gt": slug}}, sort="slug", limit=limit)


async def save(request: Request, environment: Environment, events: list[Event]) -> Environment:
    return await request.commit([ENVIRONMENTS.put(environment)], events, reply=environment)
