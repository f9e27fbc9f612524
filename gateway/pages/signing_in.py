"""The pages on which people sign in and say whether a client may know who they are."""

from __future__ import annotations

from starlette.responses import HTMLResponse

from gateway.pages.layout import button, field, form, page, sentence, wrong
from libs.contracts.identity import Asked

# What people are told of each refusal. The rest is said as "something is wrong", and logged with its trace.
MESSAGES = {
    "sign_in_refused": "The e-mail address or the password is wrong.",
    "second_factor_required": "Enter the code of your authenticator app as well.",
    "code_refused": "The code is wrong, or was used before.",
    "too_many_tries": "Too many tries. Wait a while, then try again.",
    "email_not_verified": "Follow the link that we mailed to you first.",
    "browser_unknown": "Please sign in.",
    "invalid_client": "The application that sent you here is not registered.",
    "invalid_request": "The application that sent you here did not say correctly what it wants.",
    "device_not_found": "No device waits with this code. It may be misread, used, or too old.",
    "too_many_guesses": "Too many wrong codes. Wait a minute.",
    "form_invalid": "This page had been open for too long, or came from elsewhere. Please try again.",
}
UNKNOWN = "This did not work. Please try again."
_SCOPES = {
    "openid": "know who you are",
    "profile": "see your name",
    "email": "see your e-mail address",
    "offline_access": "stay signed in",
}


def said(code: str) -> str:
    return MESSAGES.get(code, UNKNOWN)


def credentials() -> str:
    return (
        field("E-mail address", "email", "email", "username", "required")
        + field("Password", "password", "password", "current-password", "required")
        + field("Code, if you use an authenticator app", "code", "text", "one-time-code")
    )


def sign_in(asked: Asked, action: str, token: str, problem: str = "", status: int = 200) -> HTMLResponse:
    fields = credentials() + button("Sign in", "allow", main=True)
    cancel = form(action, token, button("Cancel", "deny"))
    return page(
        "Sign in",
        sentence(f"To go on to {asked.client}.")
        + wrong(problem)
        + form(action, token, fields)
        + _wishes(asked)
        + cancel,
        status,
        asked.origin,
    )


def consent(asked: Asked, action: str, token: str) -> HTMLResponse:
    fields = button("Allow", "allow", main=True) + button("Deny", "deny")
    return page(
        f"Go on to {asked.client}?",
        sentence(f"You are signed in as {asked.email}.")
        + _wishes(asked)
        + sentence("Allow this only if you have just started it yourself.")
        + form(action, token, fields),
        leads_to=asked.origin,
    )


def failed(code: str, status: int) -> HTMLResponse:
    """Where nobody can be sent on to: the request does not say a place that is known to be safe."""
    return page("This cannot go on", wrong(said(code)), status)


def _wishes(asked: Asked) -> str:
    wishes = [_SCOPES[scope] for scope in asked.scopes if scope in _SCOPES]
    return sentence(f"{asked.client} will {', '.join(wishes)}.") if wishes else ""
