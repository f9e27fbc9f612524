"""The bus edge of rollouts: load, decide, save.

What registry knows is asked for before a commit, never inside it.
"""

from __future__ import annotations

import secrets
import time

from libs.bus.rpc import Asker
from libs.contracts.base import Page, service_caller
from libs.contracts.deploy import (
    GetRollout,
    ListPlacements,
    ListRollouts,
    PlacementSummary,
    RollBack,
    Rollout,
    StartRollout,
)
from libs.contracts.registry import GetApp, GetVersion
from libs.service.request import Request
from libs.store.database import Scope
from libs.store.pages import page_of
from services.deploy.environments import domain as environments
from services.deploy.environments import store as environments_store
from services.deploy.rollouts import domain, store

OURSELVES = service_caller("deploy")


class Rollouts:
    """Handlers that ask registry."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def start_rollout(self, command: StartRollout, request: Request) -> Rollout:
        stored = await environments_store.environment(request.scope, command.environment)
        environment = environments.known(stored, command.environment)
        # On our own behalf. Who may roll out somewhere may roll out any version of that application; a right
        # on one environment would be none if it took another on the whole application to use it.
        app = await self._asker.query(GetApp(org=command.org, app=command.app), OURSELVES)
        version = await self._asker.query(
            GetVersion(org=command.org, app=command.app, version=command.version), OURSELVES
        )
        placement = await store.placement(request.scope, environment.slug, command.app)
        decided = domain.start(
            environment, app, version, placement, command, _new_id(), request.caller.subject, request.now
        )
        return await store.save(request, decided)

    async def roll_back(self, command: RollBack, request: Request) -> Rollout:
        stored = await environments_store.environment(request.scope, command.environment)
        environment = environments.known(stored, command.environment)
        placement = await store.placement(request.scope, environment.slug, command.app)
        decided = domain.roll_back(
            environment, placement, command, _new_id(), request.caller.subject, request.now
        )
        return await store.save(request, decided)


async def get_rollout(query: GetRollout, scope: Scope) -> Rollout:
    rollout = domain.known(await store.rollout(scope, query.rollout), query.rollout)
    if not query.visible.shows_in(rollout.environment, rollout.app):
        raise domain.RolloutNotFound(query.rollout)
    return rollout


async def list_rollouts(query: ListRollouts, scope: Scope) -> Page[Rollout]:
    environments.known(await environments_store.environment(scope, query.environment), query.environment)
    found = await store.rollouts(scope, query.environment, query.visible, query.cursor, query.limit + 1)
    items, following = page_of(found, query.limit, "id")
    return Page[Rollout](items=items, next=following)


async def list_placements(query: ListPlacements, scope: Scope) -> Page[PlacementSummary]:
    environments.known(await environments_store.environment(scope, query.environment), query.environment)
    found = await store.placements(scope, query.environment, query.visible, query.cursor, query.limit + 1)
    placements, following = page_of(found, query.limit, "app")
    return Page[PlacementSummary](items=tuple(map(domain.summary, placements)), next=following)


def _new_id() -> str:
    """Grows with time, so that the newest come first by id alone."""
    return f"rol_{int(time.time() * 1000):012x}{secrets.token_hex(5)}"
