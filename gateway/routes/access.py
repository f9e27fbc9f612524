"""Roles, teams, assignments, service accounts and their keys. Routes only translate."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from gateway.door import Door, InOrg, unstored
from gateway.problems import InvalidBody
from libs.contracts import identity as i
from libs.contracts.base import Frozen, Moment, Name, Page, Slug

router = APIRouter(tags=["who may"], prefix="/v1/orgs/{org}")


class NewRole(Frozen):
    role: Slug
    name: Name
    permissions: tuple[i.Permission, ...] = Field(max_length=100)


class RoleChange(Frozen):
    name: Name | None = None
    permissions: tuple[i.Permission, ...] | None = Field(default=None, max_length=100)


class Named(Frozen):
    slug: Slug
    name: Name


class NewName(Frozen):
    name: Name


class NewAssignment(Frozen):
    """`resource` is the organization by its slug, or a path below it: `acme`, `acme/orders`,
    `acme/orders/production`."""

    subject: i.Subject
    role: Slug
    resource: str = Field(max_length=200)


class NewKey(Frozen):
    name: Name
    permissions: tuple[i.Permission, ...] | None = Field(default=None, max_length=100)
    resource: str | None = Field(default=None, max_length=200)
    expires_at: Moment | None = None


@router.get("/roles", response_model=i.Roles)
async def roles(door: InOrg) -> Response:
    return await door.query(i.ListRoles(org=door.org))


@router.post("/roles", status_code=201, response_model=i.RoleDefinition)
async def define_role(body: NewRole, door: InOrg) -> Response:
    return await door.command(
        i.DefineRole(org=door.org, role=body.role, name=body.name, permissions=body.permissions), status=201
    )


@router.patch("/roles/{role}", response_model=i.RoleDefinition)
async def update_role(role: str, body: RoleChange, door: InOrg) -> Response:
    return await door.command(
        i.UpdateRole(
            org=door.org,
            role=role,
            name=body.name,
            permissions=body.permissions,
            if_revision=door.if_revision(),
        )
    )


@router.delete("/roles/{role}", status_code=204)
async def delete_role(role: str, door: InOrg) -> Response:
    return await door.command(i.DeleteRole(org=door.org, role=role))


@router.get("/teams", response_model=Page[i.Team])
async def teams(door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(i.ListTeams(org=door.org, cursor=cursor, limit=limit))


@router.post("/teams", status_code=201, response_model=i.Team)
async def create_team(body: Named, door: InOrg) -> Response:
    return await door.command(i.CreateTeam(org=door.org, slug=body.slug, name=body.name), status=201)


@router.get("/teams/{team}", response_model=i.Team)
async def team(team: str, door: InOrg) -> Response:
    return await door.query(i.GetTeam(org=door.org, slug=team))


@router.patch("/teams/{team}", response_model=i.Team)
async def rename_team(team: str, body: NewName, door: InOrg) -> Response:
    return await door.command(
        i.UpdateTeam(org=door.org, slug=team, name=body.name, if_revision=door.if_revision())
    )


@router.delete("/teams/{team}", status_code=204)
async def delete_team(team: str, door: InOrg) -> Response:
    return await door.command(i.DeleteTeam(org=door.org, slug=team))


@router.get("/teams/{team}/members", response_model=Page[i.TeamMember])
async def team_members(team: str, door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(i.ListTeamMembers(org=door.org, slug=team, cursor=cursor, limit=limit))


@router.put("/teams/{team}/members/{user}", response_model=i.TeamMember)
async def add_team_member(team: str, user: str, door: InOrg) -> Response:
    return await door.command(i.AddTeamMember(org=door.org, slug=team, user=user))


@router.delete("/teams/{team}/members/{user}", status_code=204)
async def remove_team_member(team: str, user: str, door: InOrg) -> Response:
    return await door.command(i.RemoveTeamMember(org=door.org, slug=team, user=user))


@router.get("/assignments", response_model=Page[i.Assignment])
async def assignments(door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(i.ListAssignments(org=door.org, cursor=cursor, limit=limit))


@router.post("/assignments", status_code=201, response_model=i.Assignment)
async def assign(body: NewAssignment, door: InOrg) -> Response:
    path = path_of(body.resource, door)
    return await door.command(
        i.AssignRole(org=door.org, subject=body.subject, role=body.role, path=path), status=201
    )


@router.delete("/assignments/{assignment}", status_code=204)
async def unassign(assignment: str, door: InOrg) -> Response:
    return await door.command(i.RemoveAssignment(org=door.org, assignment=assignment))


@router.get("/service-accounts", response_model=Page[i.ServiceAccount])
async def service_accounts(door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(i.ListServiceAccounts(org=door.org, cursor=cursor, limit=limit))


@router.post("/service-accounts", status_code=201, response_model=i.ServiceAccount)
async def create_service_account(body: Named, door: InOrg) -> Response:
    return await door.command(
        i.CreateServiceAccount(org=door.org, slug=body.slug, name=body.name), status=201
    )


@router.delete("/service-accounts/{account}", status_code=204)
async def delete_service_account(account: str, door: InOrg) -> Response:
    return await door.command(i.DeleteServiceAccount(org=door.org, account=account))


@router.get("/service-accounts/{account}/keys", response_model=Page[i.ApiKey])
async def keys(account: str, door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(i.ListKeys(org=door.org, account=account, cursor=cursor, limit=limit))


@router.post("/service-accounts/{account}/keys", status_code=201, response_model=i.ApiKeyWithSecret)
async def create_key(account: str, body: NewKey, door: InOrg) -> Response:
    """The key is in this answer, and in no other."""
    path = "" if body.resource is None else path_of(body.resource, door)
    return unstored(
        await door.command(
            i.CreateKey(
                org=door.org,
                account=account,
                name=body.name,
                scope=i.KeyScope(permissions=body.permissions, path=path),
                expires_at=body.expires_at,
            ),
            status=201,
        )
    )


@router.delete("/service-accounts/{account}/keys/{key}", status_code=204)
async def revoke_key(account: str, key: str, door: InOrg) -> Response:
    return await door.command(i.RevokeKey(org=door.org, account=account, key=key))


def path_of(resource: str, door: Door) -> str:
    """A resource as clients name it, to what lies below the organization."""
    slug = door.request.path_params["org"]
    if resource == slug:
        return ""
    if not resource.startswith(f"{slug}/"):
        message = f"a resource of this organization begins with {slug}"
        raise InvalidBody(message, errors=({"field": "resource", "message": message, "code": "resource"},))
    return resource.removeprefix(f"{slug}/")
