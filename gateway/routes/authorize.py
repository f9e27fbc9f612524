"""The pages of signing in to a client, and of letting a device in. Routes only translate."""

from __future__ import annotations

import re
from typing import TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter
from pydantic import SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.door import Door, Public
from gateway.pages import devices, signing_in
from gateway.pages.layout import policy
from gateway.pages.safety import Cookies
from libs.contracts import identity as i
from libs.contracts.base import Command, Query
from libs.errors import Refusal
from libs.oauth import InvalidRequest

router = APIRouter(include_in_schema=False)
Value = TypeVar("Value")
PATH = "/oauth/authorize"
MAX_FIELD_CHARS = 320
_USER_CODE = re.compile(r"[A-Za-z]{4}-?[A-Za-z]{4}")


@router.get(PATH)
async def authorize(door: Public) -> Response:
    cookies = Cookies(door.portal.settings.issuer)
    try:
        parameters = _parameters(door.request)
        browser = cookies.browser(door.request)
        asked = await _asked(door, i.CheckAuthorization(parameters=parameters, browser=browser))
        if asked.location:
            return _redirect(asked.location)
        if asked.step == "go":
            done = await _done(door, i.Authorize(parameters=parameters, browser=browser))
            return _redirect(done.location)
    except Refusal as refusal:
        return _failed(refusal)
    token = cookies.form_token(door.request)
    show = signing_in.consent if asked.step == "consent" else signing_in.sign_in
    return cookies.keep_form(show(asked, _address(parameters), token), token)


@router.post(PATH)
async def authorized(door: Public) -> Response:
    """What was typed, or that the client may."""
    cookies = Cookies(door.portal.settings.issuer)
    try:
        parameters = _parameters(door.request)
        fields = await _fields(door.request)
        cookies.check_form(door.request, fields.get("form", ""))
        browser = cookies.browser(door.request)
        asked = await _asked(door, i.CheckAuthorization(parameters=parameters, browser=browser))
        if asked.location:
            return _redirect(asked.location)
    except Refusal as refusal:
        return _failed(refusal)
    password = fields.get("password")
    command = i.Authorize(
        parameters=parameters,
        browser=browser,
        allow=fields.get("action") == "allow",
        email=fields.get("email", ""),
        password=SecretStr(password) if password else None,
        code=_code(fields),
    )
    try:
        done = await _done(door, command)
    except Refusal as refusal:
        token = cookies.form_token(door.request)
        code, status = _known(refusal)
        page = signing_in.sign_in(asked, _address(parameters), token, signing_in.said(code), status)
        return cookies.keep_form(page, token)
    response = _redirect(done.location)
    if done.browser:
        cookies.keep_browser(response, done.browser, done.browser_expires_in)
    return response


@router.get(devices.ENTER)
async def device(door: Public) -> Response:
    cookies = Cookies(door.portal.settings.issuer)
    token = cookies.form_token(door.request)
    shown = door.request.query_params.get("user_code", "")
    code = shown if _USER_CODE.fullmatch(shown) else ""
    holder = await _holder(door, cookies)
    if holder is None:
        return cookies.keep_form(devices.sign_in(token, code), token)
    if not code:
        return cookies.keep_form(devices.enter(token, holder.email), token)
    return cookies.keep_form(await _compared(door, cookies, holder, code, token), token)


@router.post(devices.SIGN_IN)
async def device_sign_in(door: Public) -> Response:
    cookies = Cookies(door.portal.settings.issuer)
    shown = door.request.query_params.get("user_code", "")
    code = shown if _USER_CODE.fullmatch(shown) else ""
    try:
        fields = await _fields(door.request)
        cookies.check_form(door.request, fields.get("form", ""))
        command = i.SignInBrowser(
            email=fields.get("email", ""), password=SecretStr(fields.get("password", "")), code=_code(fields)
        )
        done = await _done(door, command)
    except Refusal as refusal:
        known, status = _known(refusal)
        token = cookies.form_token(door.request)
        return cookies.keep_form(devices.sign_in(token, code, signing_in.said(known), status), token)
    response = _redirect(f"{devices.ENTER}?user_code={code}" if code else devices.ENTER)
    cookies.keep_browser(response, done.browser, done.browser_expires_in)
    return response


@router.post(devices.ENTER)
async def device_decided(door: Public) -> Response:
    cookies = Cookies(door.portal.settings.issuer)
    token = cookies.form_token(door.request)
    try:
        fields = await _fields(door.request)
        cookies.check_form(door.request, fields.get("form", ""))
    except Refusal as refusal:
        return _failed(refusal)
    holder = await _holder(door, cookies)
    if holder is None:
        return cookies.keep_form(devices.sign_in(token, ""), token)
    code, action = fields.get("user_code", "")[:32], fields.get("action")
    if action not in ("approve", "deny"):
        return cookies.keep_form(await _compared(door, cookies, holder, code, token), token)
    browser = cookies.browser(door.request) or ""
    command = i.DecideDevice(browser=browser, user_code=code, approve=action == "approve")
    try:
        door.portal.guesses.admit(holder.user, "device")
        await _done(door, command)
    except Refusal as refusal:
        return cookies.keep_form(_wrong_code(door, holder, token, refusal), token)
    return devices.decided(command.approve)


async def _compared(door: Door, cookies: Cookies, holder: i.BrowserHolder, code: str, token: str) -> Response:
    """The device that shows this code, for the person to look at. Wrong codes are counted."""
    browser = cookies.browser(door.request) or ""
    try:
        door.portal.guesses.admit(holder.user, "device")
        found = await _asked(door, i.CheckDevice(browser=browser, user_code=code))
    except Refusal as refusal:
        return _wrong_code(door, holder, token, refusal)
    return devices.confirm(token, holder.email, found)


def _wrong_code(door: Door, holder: i.BrowserHolder, token: str, refusal: Refusal) -> Response:
    known, status = _known(refusal)
    if known == "device_not_found":
        door.portal.guesses.wrong(holder.user, "device")
    return devices.enter(token, holder.email, signing_in.said(known), status)


async def _holder(door: Door, cookies: Cookies) -> i.BrowserHolder | None:
    browser = cookies.browser(door.request)
    if browser is None:
        return None
    try:
        return await _asked(door, i.CheckBrowser(browser=browser))
    except Refusal as refusal:
        if refusal.problem().status >= 500:
            raise
        return None


async def _asked(door: Door, query: Query[Value]) -> Value:
    """Not from the cache: what it depends on is in the browser's hands."""
    return await door.portal.asker.query(query, door.caller(query.tenant()))


async def _done(door: Door, command: Command[Value]) -> Value:
    found: Value = await door.carry_out(command, proves_itself=True)
    return found


def _parameters(request: Request) -> i.AuthorizationParameters:
    """Raises InvalidRequest. What we do not know is ignored, as the standard has it."""
    sent = request.query_params.multi_items()
    names = [name for name, _ in sent]
    if len(names) != len(set(names)):
        raise InvalidRequest("a parameter is there twice")
    known = i.AuthorizationParameters.model_fields
    try:
        # A parameter without a value counts as left out (RFC 6749, 3.1).
        return i.AuthorizationParameters(**{name: value for name, value in sent if name in known and value})
    except ValidationError:
        raise InvalidRequest("a parameter is too long") from None


def _address(parameters: i.AuthorizationParameters) -> str:
    """Where the page's form goes: the same request, written anew."""
    return f"{PATH}?{urlencode(parameters.model_dump(exclude_none=True))}"


async def _fields(request: Request) -> dict[str, str]:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise InvalidRequest("no form")
    form = await request.form()
    return {name: value[:MAX_FIELD_CHARS] for name, value in form.multi_items() if isinstance(value, str)}


def _code(fields: dict[str, str]) -> SecretStr | None:
    """As people type it: in groups, with spaces around."""
    code = "".join(fields.get("code", "").split())[:40]
    return SecretStr(code) if code else None


def _known(refusal: Refusal) -> tuple[str, int]:
    problem = refusal.problem()
    return problem.code, problem.status


def _failed(refusal: Refusal) -> Response:
    return signing_in.failed(*_known(refusal))


def _redirect(location: str) -> Response:
    """303: what follows a form is a page to get."""
    response = RedirectResponse(location, 303)
    response.headers.update(policy())
    return response
