"""What people sign in with beside a password, and the installation's signing key. Routes only translate."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from gateway.bodies import NewPasskey, ShownCode, ShownPasskey
from gateway.door import Public, SignedIn, unstored
from libs.contracts import identity as i
from libs.contracts.base import Page

router = APIRouter(tags=["who"])


@router.get("/v1/me/factors", response_model=i.Factors)
async def factors(door: SignedIn) -> Response:
    return await door.query(i.GetFactors(user=door.user))


@router.post("/v1/me/totp", status_code=201, response_model=i.NewTotp)
async def enrol_totp(door: SignedIn) -> Response:
    """A secret for an authenticator app, shown once. It counts once it is confirmed with a code."""
    return unstored(await door.command(i.EnrolTotp(), status=201))


@router.post("/v1/me/totp/confirm", response_model=i.RecoveryCodes)
async def confirm_totp(body: ShownCode, door: SignedIn) -> Response:
    return unstored(await door.command(i.ConfirmTotp(code=body.code)))


@router.delete("/v1/me/totp", status_code=204)
async def remove_totp(door: SignedIn) -> Response:
    return await door.command(i.RemoveTotp())


@router.post("/v1/me/recovery-codes", response_model=i.RecoveryCodes)
async def replace_recovery_codes(door: SignedIn) -> Response:
    """Ten new ones, shown once; the former ones are no longer good."""
    return unstored(await door.command(i.ReplaceRecoveryCodes()))


@router.get("/v1/me/passkeys", response_model=Page[i.Passkey])
async def passkeys(door: SignedIn) -> Response:
    return await door.query(i.ListPasskeys(user=door.user))


@router.post("/v1/me/passkeys/challenge", response_model=i.Challenge)
async def start_passkey(door: SignedIn) -> Response:
    """Options for `navigator.credentials.create()`."""
    return unstored(await door.command(i.StartPasskey()))


@router.post("/v1/me/passkeys", status_code=201, response_model=i.Passkey)
async def add_passkey(body: NewPasskey, door: SignedIn) -> Response:
    return await door.command(i.AddPasskey(name=body.name, credential=body.credential), status=201)


@router.delete("/v1/me/passkeys/{passkey}", status_code=204)
async def remove_passkey(passkey: str, door: SignedIn) -> Response:
    return await door.command(i.RemovePasskey(passkey=passkey))


@router.post("/v1/sessions/passkey/challenge", response_model=i.Challenge)
async def start_passkey_sign_in(door: Public) -> Response:
    """Options for `navigator.credentials.get()`; the same form for everybody."""
    return unstored(await door.command(i.StartPasskeySignIn()))


@router.post("/v1/sessions/passkey", status_code=201, response_model=i.Tokens)
async def sign_in_with_passkey(body: ShownPasskey, door: Public) -> Response:
    return unstored(await door.command(i.OpenSessionWithPasskey(credential=body.credential), status=201))


@router.post("/v1/operations/keys/rotate", response_model=i.RotatedKeys)
async def rotate_keys(door: SignedIn) -> Response:
    """The key that was published as the next one signs from now on."""
    door.operator("key:rotate")
    return await door.command(i.RotateKeys())
