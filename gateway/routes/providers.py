"""Identity providers that an organization trusts, and the users whom it manages. Routes only translate."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import EmailStr
from starlette.responses import Response

from gateway.door import InOrg
from libs.contracts import identity as i
from libs.contracts.base import Frozen, Name, Page, Slug

router = APIRouter(tags=["who may"], prefix="/v1/orgs/{org}")


class NewIssuer(Frozen):
    name: Name
    settings: i.IssuerSettings


class IssuerChange(Frozen):
    name: Name | None = None
    settings: i.IssuerSettings | None = None


class NewManagedUser(Frozen):
    user_name: i.UserName
    email: EmailStr | None = None
    name: i.Given = ""
    external_id: i.External | None = None
    role: Slug = "member"


class ManagedUserChange(Frozen):
    user_name: i.UserName | None = None
    email: EmailStr | None = None
    name: i.Given | None = None
    external_id: i.External | None = None
    active: bool | None = None


@router.get("/identity-providers", response_model=Page[i.Issuer])
async def issuers(door: InOrg) -> Response:
    return await door.query(i.ListIssuers(org=door.org))


@router.post("/identity-providers", status_code=201, response_model=i.Issuer)
async def register_issuer(body: NewIssuer, door: InOrg) -> Response:
    return await door.command(
        i.RegisterIssuer(org=door.org, name=body.name, settings=body.settings), status=201
    )


@router.get("/identity-providers/{issuer}", response_model=i.Issuer)
async def issuer(issuer: str, door: InOrg) -> Response:
    return await door.query(i.GetIssuer(org=door.org, issuer=issuer))


@router.patch("/identity-providers/{issuer}", response_model=i.Issuer)
async def update_issuer(issuer: str, body: IssuerChange, door: InOrg) -> Response:
    return await door.command(
        i.UpdateIssuer(
            org=door.org,
            issuer=issuer,
            name=body.name,
            settings=body.settings,
            if_revision=door.if_revision(),
        )
    )


@router.delete("/identity-providers/{issuer}", status_code=204)
async def remove_issuer(issuer: str, door: InOrg) -> Response:
    return await door.command(i.RemoveIssuer(org=door.org, issuer=issuer))


@router.get("/managed-users", response_model=Page[i.ManagedUser])
async def managed_users(door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(i.ListManagedUsers(org=door.org, cursor=cursor, limit=limit))


@router.post("/managed-users", status_code=201, response_model=i.ManagedUser)
async def create_managed_user(body: NewManagedUser, door: InOrg) -> Response:
    """Somebody who signs in by the organization's identity providers."""
    return await door.command(
        i.CreateManagedUser(
            org=door.org,
            user_name=body.user_name,
            email=body.email,
            name=body.name,
            external_id=body.external_id,
            role=body.role,
        ),
        status=201,
    )


@router.get("/managed-users/{managed}", response_model=i.ManagedUser)
async def managed_user(managed: str, door: InOrg) -> Response:
    return await door.query(i.GetManagedUser(org=door.org, user=managed))


@router.patch("/managed-users/{managed}", response_model=i.ManagedUser)
async def update_managed_user(managed: str, body: ManagedUserChange, door: InOrg) -> Response:
    return await door.command(
        i.UpdateManagedUser(
            org=door.org,
            user=managed,
            user_name=body.user_name,
            email=body.email,
            name=body.name,
            external_id=body.external_id,
            active=body.active,
            if_revision=door.if_revision(),
        )
    )
