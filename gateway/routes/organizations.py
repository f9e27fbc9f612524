"""Organizations, members, invitations. Routes only translate."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from gateway.bodies import Acceptance, MemberChange, NewInvitation, NewOrganization, Renamed
from gateway.door import InOrg, SignedIn
from libs.contracts import identity as i
from libs.contracts.base import Page

router = APIRouter(tags=["who"])


@router.post("/v1/orgs", status_code=201, response_model=i.Organization)
async def create_organization(body: NewOrganization, door: SignedIn) -> Response:
    return await door.command(i.CreateOrganization(slug=body.slug, name=body.name), status=201)


@router.get("/v1/orgs", response_model=Page[i.Membership])
async def organizations(door: SignedIn, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(i.ListOrgs(user=door.user, cursor=cursor, limit=limit))


@router.get("/v1/orgs/{org}", response_model=i.Organization)
async def organization(door: InOrg) -> Response:
    return await door.query(i.GetOrg(org=door.org))


@router.patch("/v1/orgs/{org}", response_model=i.Organization)
async def rename_organization(body: Renamed, door: InOrg) -> Response:
    return await door.command(
        i.UpdateOrganization(org=door.org, name=body.name, if_revision=door.if_revision())
    )


@router.delete("/v1/orgs/{org}", status_code=204)
async def delete_organization(door: InOrg) -> Response:
    return await door.command(i.DeleteOrganization(org=door.org))


@router.get("/v1/orgs/{org}/members", response_model=Page[i.Member])
async def members(door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(i.ListMembers(org=door.org, cursor=cursor, limit=limit))


@router.put("/v1/orgs/{org}/members/{user}", response_model=i.Member)
async def set_member(user: str, body: MemberChange, door: InOrg) -> Response:
    return await door.command(i.SetMember(org=door.org, user=user, role=body.role, active=body.active))


@router.delete("/v1/orgs/{org}/members/{user}", status_code=204)
async def remove_member(user: str, door: InOrg) -> Response:
    return await door.command(i.RemoveMember(org=door.org, user=user))


@router.post("/v1/orgs/{org}/invitations", status_code=201, response_model=i.InvitationWithToken)
async def invite(body: NewInvitation, door: InOrg) -> Response:
    return await door.command(i.InviteMember(org=door.org, email=body.email, role=body.role), status=201)


@router.get("/v1/orgs/{org}/invitations", response_model=Page[i.Invitation])
async def invitations(door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(i.ListInvitations(org=door.org, cursor=cursor, limit=limit))


@router.post("/v1/invitations/accept", status_code=201, response_model=i.Membership)
async def accept(body: Acceptance, door: SignedIn) -> Response:
    return await door.command(i.AcceptInvitation(token=body.token), status=201)
