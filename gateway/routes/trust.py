"""Trust rules: whose runners a service account accepts instead of a key. Routes only translate."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from gateway.door import InOrg
from gateway.routes.access import path_of
from libs.contracts import identity as i
from libs.contracts.base import Frozen, Page

router = APIRouter(tags=["who may"], prefix="/v1/orgs/{org}/service-accounts/{account}/trust-rules")


class NewTrustRule(Frozen):
    """`claims` are matched exactly, and at least one of them must be a fact that no renaming changes:
    `repository_id` or `repository_owner_id` (GitHub), `project_id` or `namespace_id` (GitLab), or elsewhere
    `sub`."""

    issuer: i.RunnerIssuer
    audience: i.Audience
    claims: dict[i.ClaimName, i.ClaimValue] = Field(max_length=20)
    permissions: tuple[i.Permission, ...] | None = Field(default=None, max_length=100)
    resource: str | None = Field(default=None, max_length=200)


@router.get("", response_model=Page[i.TrustRule])
async def trust_rules(account: str, door: InOrg) -> Response:
    return await door.query(i.ListTrustRules(org=door.org, account=account))


@router.post("", status_code=201, response_model=i.TrustRule)
async def create_trust_rule(account: str, body: NewTrustRule, door: InOrg) -> Response:
    path = "" if body.resource is None else path_of(body.resource, door)
    command = i.CreateTrustRule(
        org=door.org,
        account=account,
        issuer=body.issuer,
        audience=body.audience,
        claims=body.claims,
        scope=i.KeyScope(permissions=body.permissions, path=path),
    )
    return await door.command(command, status=201)


@router.delete("/{rule}", status_code=204)
async def remove_trust_rule(account: str, rule: str, door: InOrg) -> Response:
    return await door.command(i.RemoveTrustRule(org=door.org, account=account, rule=rule))
