"""The pages on which people let a device in: sign in, type its code, compare, decide."""

from __future__ import annotations

from html import escape

from starlette.responses import HTMLResponse

from gateway.pages.layout import button, field, form, page, sentence, wrong
from gateway.pages.signing_in import credentials
from libs.contracts.identity import DeviceAsked

ENTER, SIGN_IN = "/device", "/device/sign-in"


def sign_in(token: str, code: str, problem: str = "", status: int = 200) -> HTMLResponse:
    action = f"{SIGN_IN}?user_code={code}" if code else SIGN_IN
    fields = credentials() + button("Sign in", "allow", main=True)
    return page(
        "Sign in", sentence("To let a device in.") + wrong(problem) + form(action, token, fields), status
    )


def enter(token: str, email: str, problem: str = "", status: int = 200) -> HTMLResponse:
    fields = field("The code that the device shows", "user_code", more="required autocapitalize=characters")
    return page(
        "Let a device in",
        sentence(f"You are signed in as {email}.")
        + wrong(problem)
        + form(ENTER, token, fields + button("Go on", "check", main=True)),
        status,
    )


def confirm(token: str, email: str, device: DeviceAsked) -> HTMLResponse:
    """Says what there is to compare: whoever sent the person here may have started it elsewhere."""
    known = {
        "Application": device.client,
        "Address": device.address or "unknown",
        "Program": device.agent or "unknown",
        "Asked at": device.asked_at.strftime("%Y-%m-%d %H:%M UTC"),
    }
    table = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in known.items())
    hidden = f'<input type="hidden" name="user_code" value="{escape(device.user_code)}">'
    buttons = button("Approve", "approve", main=True) + button("Deny", "deny")
    return page(
        "Let this device in?",
        f'<p class="code">{escape(device.user_code)}</p><dl>{table}</dl>'
        + sentence(
            f"It will be signed in as {email}. Approve only if you have just started this yourself, and the "
            "device shows this very code. If somebody sent you the code or a link, deny it."
        )
        + form(ENTER, token, hidden + buttons),
    )


def decided(approved: bool) -> HTMLResponse:
    text = "The device is signed in. You can close this page." if approved else "The device stays out."
    return page("Done" if approved else "Denied", sentence(text))
