"""Users, their sessions and passwords, and links that are mailed to them. Routes only translate."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from gateway.bodies import Address, Credentials, MailedToken, NewPassword, NewUser, PasswordChange
from gateway.door import Door, Public, SignedIn, unstored
from libs.contracts import identity as i
from libs.contracts.base import Command, Page

router = APIRouter(tags=["who"])
# What is mailed makes the difference; the answer tells nobody whether an address has an account.
NEUTRAL = {"status": "if it concerns you, there is a mail on its way"}


@router.post(
    "/v1/users",
    status_code=201,
    response_model=i.User,
    responses={202: {"description": "Where addresses are verified first: look into the mailbox"}},
)
async def register(body: NewUser, door: Public) -> Response:
    def view(user: i.User | None) -> tuple[int, Any]:
        return (201, user) if user else (202, NEUTRAL)

    command = i.RegisterUser(email=body.email, name=body.name, password=body.password)
    return await door.command(command, view=view)


@router.post("/v1/sessions", status_code=201, response_model=i.Tokens)
async def sign_in(body: Credentials, door: Public) -> Response:
    command = i.OpenSession(email=body.email, password=body.password, code=body.code)
    return unstored(await door.command(command, status=201))


@router.get("/v1/sessions", response_model=Page[i.OpenedSession])
async def sessions(door: SignedIn, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(
        i.ListSessions(user=door.user, session=_session(door), cursor=cursor, limit=limit)
    )


@router.delete("/v1/sessions/current", status_code=204)
async def sign_out(door: SignedIn) -> Response:
    return await door.command(i.EndSession(session=_session(door)))


@router.delete("/v1/sessions/{session}", status_code=204)
async def end_session(session: str, door: SignedIn) -> Response:
    return await door.command(i.EndSession(session=session))


@router.delete("/v1/sessions", status_code=204)
async def end_other_sessions(door: SignedIn) -> Response:
    """All but the one that asks."""
    return await door.command(i.EndOtherSessions())


@router.get("/v1/me", response_model=i.User)
async def me(door: SignedIn) -> Response:
    return await door.query(i.GetMe(user=door.user))


@router.put("/v1/me/password", status_code=204)
async def change_password(body: PasswordChange, door: SignedIn) -> Response:
    return await door.command(i.ChangePassword(password=body.password, new_password=body.new_password))


@router.post("/v1/password-resets", status_code=202)
async def request_reset(body: Address, door: Public) -> Response:
    return await _asked(door, i.RequestReset(email=body.email))


@router.post("/v1/password-resets/confirm", status_code=204)
async def confirm_reset(body: NewPassword, door: Public) -> Response:
    return await door.command(i.ConfirmReset(token=body.token, password=body.password))


@router.post("/v1/verifications", status_code=202)
async def request_verification(body: Address, door: Public) -> Response:
    return await _asked(door, i.RequestVerification(email=body.email))


@router.post("/v1/verifications/confirm", status_code=204)
async def confirm_verification(body: MailedToken, door: Public) -> Response:
    return await door.command(i.ConfirmVerification(token=body.token))


async def _asked(door: Door, command: Command[None]) -> Response:
    return await door.command(command, view=lambda _: (202, NEUTRAL))


def _session(door: Door) -> str:
    assert door.claims is not None
    return door.claims.session or ""
