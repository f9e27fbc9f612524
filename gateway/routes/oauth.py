"""The OAuth endpoints that clients call: tokens, devices, their end and worth. Routes only translate."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any
from urllib.parse import unquote_plus

from fastapi import APIRouter, Form
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.responses import JSONResponse, Response

from gateway import introspection, metadata
from gateway.claims import Claims
from gateway.door import Door, Public, SignedIn, live_claims, unstored
from libs.contracts import identity as i
from libs.errors import Refusal, Unauthenticated
from libs.oauth import (
    AuthorizationPending,
    InsufficientScope,
    InvalidClient,
    InvalidRequest,
    InvalidTarget,
    SlowDown,
    UnsupportedGrantType,
)

router = APIRouter(tags=["oauth"])
Text = Annotated[str, Field(max_length=2048)]
Secret = Annotated[SecretStr, Field(max_length=16_384)]
NO_SECRET = SecretStr("")


class OAuthForm(BaseModel):
    """What clients send that we do not know is ignored, as the standard has it."""

    model_config = ConfigDict(extra="ignore")

    client_id: Text = ""
    client_secret: Secret = NO_SECRET


class TokenForm(OAuthForm):
    """Which fields are needed follows from the kind of grant."""

    grant_type: Text
    scope: Text | None = None
    code: Secret = NO_SECRET
    redirect_uri: Text | None = None
    code_verifier: Text | None = None
    refresh_token: Annotated[str, Field(max_length=512)] = ""
    device_code: Secret = NO_SECRET
    subject_token: Secret = NO_SECRET
    subject_token_type: Text = ""
    requested_token_type: Text | None = None
    actor_token: Secret | None = None


class DeviceForm(OAuthForm):
    scope: Text | None = None


class ShownToken(OAuthForm):
    token: Secret
    token_type_hint: Text | None = None


class DeviceAnswer(BaseModel):
    """RFC 8628, 3.2."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class UserInfo(BaseModel):
    sub: str
    name: str | None = None
    email: str | None = None
    email_verified: bool | None = None


@router.post("/oauth/token", response_model=i.Granted)
async def token(door: Public, form: Annotated[TokenForm, Form()]) -> Response:
    proof = await _proof(door, form)
    match form.grant_type:
        case "authorization_code":
            _needed(form.code.get_secret_value(), "code")
            command: Any = i.RedeemCode(
                client=proof,
                code=form.code,
                redirect_uri=form.redirect_uri,
                code_verifier=form.code_verifier,
            )
        case "refresh_token":
            command = i.RefreshSession(
                refresh_token=_needed(form.refresh_token, "refresh_token"),
                client_id=proof.id or None,
                client_secret=proof.secret,
            )
        case metadata.DEVICE_CODE:
            _needed(form.device_code.get_secret_value(), "device_code")
            command = i.PollDevice(client=proof, device_code=form.device_code)
        case "client_credentials":
            command = i.IssueToken(org=_home_of(door, proof.id), client=proof, scope=form.scope)
        case metadata.TOKEN_EXCHANGE:
            command = _exchange(door, proof, form)
        case _:
            raise UnsupportedGrantType("the grant type is none of those that the discovery document names")
    return await _guarded(door, proof, command)


def _exchange(door: Door, proof: i.ClientProof, form: TokenForm) -> i.ExchangeToken:
    if form.actor_token is not None:
        raise InvalidRequest("nobody acts for another here")
    _needed(form.subject_token.get_secret_value(), "subject_token")
    _needed(form.subject_token_type, "subject_token_type")
    org = door.portal.directory.organization_of(proof.id)
    if org is None:
        raise InvalidTarget("client_id names the service account that the token is for")
    return i.ExchangeToken(
        org=org,
        account=proof.id,
        subject_token=form.subject_token,
        subject_token_type=form.subject_token_type,
        requested_token_type=form.requested_token_type,
        scope=form.scope,
    )


def _needed(value: str, name: str) -> str:
    if not value:
        raise InvalidRequest(f"{name} is missing")
    return value


def _home_of(door: Door, account: str) -> str:
    org = door.portal.directory.organization_of(account)
    if org is None:
        raise InvalidClient("no such client, or another secret")
    return org


async def _guarded(door: Door, proof: i.ClientProof, command: Any) -> Response:
    """Guesses at a client's secret are counted, by client and address."""
    client = door.request.client
    where = client.host if client else ""
    door.portal.guesses.admit(where, proof.id)
    try:
        return _whole(await door.command(command, view=_view, proves_itself=True))
    except Refusal as refusal:
        if refusal.problem().code == InvalidClient.code:
            door.portal.guesses.wrong(where, proof.id)
        raise


def _view(value: Any) -> tuple[int, Any]:
    """Without what there is not: a null where a client expects a token is an error to it."""
    if value is None:
        return 200, None
    if isinstance(value, i.Polled):
        if value.error == "slow_down":
            raise SlowDown("asked too soon; wait five seconds longer each time")
        if value.error:
            raise AuthorizationPending("nobody has decided yet")
        value = value.tokens
    fields = value.model_dump(exclude_none=True)
    if not fields.get("scope"):
        fields.pop("scope", None)
    return 200, fields


@router.post("/oauth/device_authorization", response_model=DeviceAnswer)
async def device_authorization(door: Public, form: Annotated[DeviceForm, Form()]) -> Response:
    proof = await _proof(door, form)
    page = f"{door.portal.settings.issuer}/device"

    def answer(started: i.DeviceStarted) -> tuple[int, Any]:
        return 200, DeviceAnswer(
            **started.model_dump(),
            verification_uri=page,
            verification_uri_complete=f"{page}?user_code={started.user_code}",
        )

    command = i.StartDevice(client=proof, scope=form.scope)
    return _whole(await door.command(command, view=answer, proves_itself=True))


@router.post("/oauth/revoke", response_class=Response)
async def revoke(door: Public, form: Annotated[ShownToken, Form()]) -> Response:
    """200 whether there was something to end or not."""
    proof = await _proof(door, form)
    command = i.RevokeToken(client=proof, token=form.token, token_type_hint=form.token_type_hint)
    org = door.portal.directory.organization_of(proof.id)
    if org is not None:
        command = command.model_copy(update={"org": org})
    answer = await _guarded(door, proof, command)
    return Response(status_code=200, headers={"mes-version": answer.headers["mes-version"]})


@router.post("/oauth/introspect")
async def introspect(door: Public, form: Annotated[ShownToken, Form()]) -> Response:
    asking = await _asking(door, form)
    text = form.token.get_secret_value()
    try:
        found = await live_claims(text, door.portal)
    except Unauthenticated:
        return _whole(JSONResponse(introspection.NOTHING))
    if found.expired or not introspection.may_see(asking, found, door.portal.directory):
        return _whole(JSONResponse(introspection.NOTHING))
    return _whole(JSONResponse(introspection.described(text, found)))


async def _asking(door: Door, form: OAuthForm) -> Claims:
    """A service account that shows one of its keys, or whoever holds a token of their own."""
    scheme, _, token = door.request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        await _no_repeats(door)
        try:
            return await live_claims(token.strip(), door.portal)
        except Unauthenticated:
            raise InvalidClient("the bearer token is not good") from None
    proof = await _proof(door, form)
    client = door.request.client
    where = client.host if client else ""
    door.portal.guesses.admit(where, proof.id)
    try:
        claims = door.portal.api_keys.verify(proof.secret.get_secret_value() if proof.secret else "")
        if claims.subject != proof.id or not door.portal.directory.stands(claims):
            raise InvalidClient("no such client, or another secret")
    except Unauthenticated:
        door.portal.guesses.wrong(where, proof.id)
        raise InvalidClient("no such client, or another secret") from None
    return claims


@router.get("/oauth/userinfo", response_model=UserInfo)
async def userinfo(door: SignedIn) -> Response:
    return await _userinfo(door)


@router.post("/oauth/userinfo", response_model=UserInfo, operation_id="userinfo_by_post")
async def userinfo_by_post(door: SignedIn) -> Response:
    return await _userinfo(door)


async def _userinfo(door: Door) -> Response:
    assert door.claims is not None
    asked = door.claims.scope.split()
    if "openid" not in asked:
        raise InsufficientScope("the token was not made for OpenID Connect")
    answer = await door.answer(i.GetMe(user=door.user))
    user = i.User.model_validate_json(answer.body)
    info = UserInfo(sub=user.id)
    if "profile" in asked:
        info.name = user.name
    if "email" in asked:
        info.email, info.email_verified = user.email, user.email_verified
    return _whole(JSONResponse(info.model_dump(exclude_none=True)))


@router.get("/.well-known/openid-configuration")
async def openid_configuration(door: Public) -> dict[str, Any]:
    return metadata.openid(door.portal.settings.issuer)


@router.get("/.well-known/oauth-authorization-server")
async def authorization_server(door: Public) -> dict[str, Any]:
    return metadata.authorization_server(door.portal.settings.issuer)


@router.get("/.well-known/jwks.json")
async def keys(door: Public) -> dict[str, Any]:
    return {"keys": await door.portal.verifier.key_set()}


async def _proof(door: Door, form: OAuthForm) -> i.ClientProof:
    """Which client asks: by the header or by the form, never by both (RFC 6749, 2.3)."""
    await _no_repeats(door)
    scheme, _, value = door.request.headers.get("authorization", "").partition(" ")
    secret = form.client_secret.get_secret_value()
    if scheme.lower() != "basic":
        return i.ClientProof(id=form.client_id, secret=form.client_secret if secret else None)
    if secret:
        raise InvalidRequest("the client shows itself in one way")
    try:
        name, colon, shown = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidClient("the header cannot be read") from None
    name, shown = unquote_plus(name), unquote_plus(shown)
    if not colon or not name or len(name) > 300 or len(shown) > 2048:
        raise InvalidClient("the header cannot be read")
    if form.client_id not in ("", name):
        raise InvalidRequest("the header and the form name two clients")
    return i.ClientProof(id=name, secret=SecretStr(shown), basic=True)


async def _no_repeats(door: Door) -> None:
    """A parameter that is there twice could mean one thing to us and another to whoever looked before."""
    names = [name for name, _ in (await door.request.form()).multi_items()]
    if len(names) != len(set(names)):
        raise InvalidRequest("a parameter is there twice")


def _whole(response: Response) -> Response:
    response.headers["pragma"] = "no-cache"
    return unstored(response)
