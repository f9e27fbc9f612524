"""Every query on rollouts and placements."""

from __future__ import annotations

from typing import Any

from libs.contracts.deploy import Placement, Rollout
from libs.permissions import Visible
from libs.service.request import Request
from libs.store import pages
from libs.store.database import Documents, Index, Scope
from services.deploy.rollouts.domain import Decided

ROLLOUTS = Documents(
    "rollouts",
    Rollout,
    key=lambda rollout: rollout.id,
    indexes=[
        Index(("environment", "-id")),  # newest rollouts of an environment; ids grow with time
        Index(("environment", "app", "-id")),  # those of the applications that somebody may see
    ],
)
PLACEMENTS = Documents(
    "placements",
    Placement,
    key=lambda placement: f"{placement.environment}/{placement.app}",
    indexes=[
        Index(("environment", "app")),  # what is live in an environment
    ],
)


async def rollout(scope: Scope, rollout_id: str) -> Rollout | None:
    return await scope.get(ROLLOUTS, rollout_id)


async def rollouts(
    scope: Scope, environment: str, visible: Visible, before: str | None, limit: int
) -> list[Rollout]:
    where: dict[str, Any] = {"environment": environment}
    if before:
        where["id"] = {"$lt": before}
    if visible.everything:
        return await scope.find(ROLLOUTS, where, sort="-id", limit=limit)
    return await pages.newest_of(scope, ROLLOUTS, where, "app", visible.apps_in(environment), "id", limit)


async def placement(scope: Scope, environment: str, app: str) -> Placement | None:
    return await scope.get(PLACEMENTS, f"{environment}/{app}")


async def everything_placed(scope: Scope, environment: str) -> list[Placement]:
    """For shells, which may load whatever is live."""
    return await scope.find(PLACEMENTS, {"environment": environment}, sort="app")


async def placements(
    scope: Scope, environment: str, visible: Visible, after: str | None, limit: int
) -> list[Placement]:
    only = None if visible.everything else visible.apps_in(environment)
    return await pages.by_name(scope, PLACEMENTS, {"environment": environment}, "app", only, after, limit)


async def save(request: Request, decided: Decided) -> Rollout:
    changes = [ROLLOUTS.put(decided.rollout), PLACEMENTS.put(decided.placement)]
    return await request.commit(changes, decided.events, reply=decided.rollout)
