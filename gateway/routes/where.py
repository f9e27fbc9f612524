"""Environments, rollouts, what is live. Routes only translate."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from gateway.bodies import EnvironmentChange, NewEnvironment, NewRollout
from gateway.door import InOrg
from libs.contracts import deploy as d
from libs.contracts.base import Page

router = APIRouter(tags=["where"], prefix="/v1/orgs/{org}")


@router.get("/environments", response_model=Page[d.Environment])
async def environments(door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(d.ListEnvironments(org=door.org, cursor=cursor, limit=limit))


@router.post("/environments", status_code=201, response_model=d.Environment)
async def create_environment(body: NewEnvironment, door: InOrg) -> Response:
    return await door.command(d.CreateEnvironment(org=door.org, slug=body.slug, name=body.name), status=201)


@router.get("/environments/{env}", response_model=d.Environment)
async def environment(env: str, door: InOrg) -> Response:
    return await door.query(d.GetEnvironment(org=door.org, environment=env))


@router.patch("/environments/{env}", response_model=d.Environment)
async def change_environment(env: str, body: EnvironmentChange, door: InOrg) -> Response:
    return await door.command(
        d.UpdateEnvironment(
            org=door.org,
            slug=env,
            name=body.name,
            locked=body.locked,
            if_revision=door.if_revision(),
        )
    )


@router.get("/environments/{env}/apps", response_model=Page[d.PlacementSummary])
async def placements(env: str, door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    """What is live in the environment."""
    return await door.query(d.ListPlacements(org=door.org, environment=env, cursor=cursor, limit=limit))


@router.post("/environments/{env}/rollouts", status_code=201, response_model=d.Rollout)
async def start_rollout(env: str, body: NewRollout, door: InOrg) -> Response:
    return await door.command(
        d.StartRollout(
            org=door.org, environment=env, app=body.app, version=body.version, strategy=body.strategy
        ),
        status=201,
    )


@router.get("/environments/{env}/rollouts", response_model=Page[d.Rollout])
async def rollouts(env: str, door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(d.ListRollouts(org=door.org, environment=env, cursor=cursor, limit=limit))


@router.post("/environments/{env}/apps/{app}/rollback", status_code=201, response_model=d.Rollout)
async def roll_back(env: str, app: str, door: InOrg) -> Response:
    return await door.command(d.RollBack(org=door.org, environment=env, app=app), status=201)


@router.get("/rollouts/{rollout}", response_model=d.Rollout)
async def rollout(rollout: str, door: InOrg) -> Response:
    return await door.query(d.GetRollout(org=door.org, rollout=rollout))
