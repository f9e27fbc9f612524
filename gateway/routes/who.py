"""Users, sessions, organizations, members, invitations. Routes only translate."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.responses import Response

from gateway.bodies import (
    Acceptance,
    Credentials,
    MemberRole,
    NewInvitation,
    NewOrganization,
    NewUser,
    Renamed,
)
from gateway.door import InOrg, Public, SignedIn
from libs.contracts import identity as i
from libs.contracts.base import Page
from libs.errors import BadRequest

router = APIRouter(tags=["who"])


class UnsupportedGrantType(BadRequest):
    """The token endpoint takes `refresh_token` here."""


@router.post("/v1/users", status_code=201, response_model=i.User)
async def register(body: NewUser, door: Public) -> Response:
    return await door.command(
        i.RegisterUser(email=body.email, name=body.name, password=body.password), status=201
    )


@router.post("/v1/sessions", status_code=201, response_model=i.Tokens)
async def sign_in(body: Credentials, door: Public) -> Response:
    return _unstored(await door.command(i.OpenSession(email=body.email, password=body.password), status=201))


@router.post("/oauth/token", response_model=i.Tokens)
async def token(
    door: Public, grant_type: Annotated[str, Form()], refresh_token: Annotated[str, Form()] = ""
) -> Response:
    if grant_type != "refresh_token":
        raise UnsupportedGrantType(grant_type[:80])
    return _unstored(await door.command(i.RefreshSession(refresh_token=refresh_token or "-")))


@router.delete("/v1/sessions/current", status_code=204)
async def sign_out(door: SignedIn) -> Response:
    assert door.claims is not None
    return await door.command(i.EndSession(session=door.claims.session))


@router.get("/v1/me", response_model=i.User)
async def me(door: SignedIn) -> Response:
    return await door.query(i.GetMe(user=door.user))


@router.get("/.well-known/jwks.json")
async def keys(door: Public) -> dict[str, Any]:
    return {"keys": await door.portal.verifier.key_set()}


@router.post("/v1/orgs", status_code=201, response_model=i.Organization)
async def create_organization(body: NewOrganization, door: SignedIn) -> Response:
    return await door.command(i.CreateOrganization(slug=body.slug, name=body.name), status=201)


@router.get("/v1/orgs", response_model=Page[i.Membership])
async def organizations(door: SignedIn) -> Response:
    return await door.query(i.ListOrgs(user=door.user))


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
async def set_member(user: str, body: MemberRole, door: InOrg) -> Response:
    return await door.command(i.SetMember(org=door.org, user=user, role=body.role))


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


def _unstored(response: Response) -> Response:
    """Answers with tokens are kept by nobody on the way."""
    response.headers["cache-control"] = "no-store"
    return response
