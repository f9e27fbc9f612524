"""The OAuth endpoints: tokens, and the keys that verify them. Routes only translate."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.responses import Response

from gateway.door import Public, unstored
from libs.contracts import identity as i
from libs.errors import BadRequest

router = APIRouter(tags=["oauth"])


class UnsupportedGrantType(BadRequest):
    """The token endpoint takes `refresh_token` here."""


@router.post("/oauth/token", response_model=i.Tokens)
async def token(
    door: Public, grant_type: Annotated[str, Form()], refresh_token: Annotated[str, Form()] = ""
) -> Response:
    if grant_type != "refresh_token":
        raise UnsupportedGrantType(grant_type[:80])
    return unstored(await door.command(i.RefreshSession(refresh_token=refresh_token or "-")))


@router.get("/.well-known/jwks.json")
async def keys(door: Public) -> dict[str, Any]:
    return {"keys": await door.portal.verifier.key_set()}
