"""Users, sessions, and how somebody proves to be who they are. Routes only translate."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from gateway.bodies import Credentials, NewUser
from gateway.door import Public, SignedIn, unstored
from libs.contracts import identity as i

router = APIRouter(tags=["who"])


@router.post("/v1/users", status_code=201, response_model=i.User)
async def register(body: NewUser, door: Public) -> Response:
    return await door.command(
        i.RegisterUser(email=body.email, name=body.name, password=body.password), status=201
    )


@router.post("/v1/sessions", status_code=201, response_model=i.Tokens)
async def sign_in(body: Credentials, door: Public) -> Response:
    return unstored(await door.command(i.OpenSession(email=body.email, password=body.password), status=201))


@router.delete("/v1/sessions/current", status_code=204)
async def sign_out(door: SignedIn) -> Response:
    assert door.claims is not None
    return await door.command(i.EndSession(session=door.claims.session))


@router.get("/v1/me", response_model=i.User)
async def me(door: SignedIn) -> Response:
    return await door.query(i.GetMe(user=door.user))
