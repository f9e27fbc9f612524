"""The bus edge of discovery: what shells may load in an environment. Reads placements, owns nothing."""

from __future__ import annotations

from libs.contracts.deploy import Discovery, GetDiscovery
from libs.store.database import Scope
from services.deploy.environments import domain as environments
from services.deploy.environments import store as environments_store
from services.deploy.rollouts import store


async def get_discovery(query: GetDiscovery, scope: Scope) -> Discovery:
    environments.known(await environments_store.environment(scope, query.environment), query.environment)
    placements = await store.everything_placed(scope, query.environment)
    return Discovery(
        environment=query.environment,
        placed=tuple((placement.app, placement.live) for placement in placements),
    )
