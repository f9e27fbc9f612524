"""`mes login` and `mes logout`."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from clients.cli.api import Api, portal_url
from clients.cli.options import Email, Json, PasswordEnv, Url, password_of, signed_in
from clients.cli.screen import emit, say
from clients.cli.session import Session, Sessions


def login(
    email: Email = None, password_env: PasswordEnv = None, url: Url = None, as_json: Json = False
) -> None:
    """Sign in with a browser, here or elsewhere; later commands use it. With --email, by password."""
    api = Api(portal_url(url), Sessions())
    if email is None and password_env is None:
        session = _by_device(api, as_json)
        email = session.email
    else:
        email = email or str(typer.prompt("Email", err=True))
        session = api.sign_in(email, password_of(password_env))
    if as_json:
        expires = datetime.fromtimestamp(session.expires_at, UTC).isoformat()
        emit({"url": api.url, "email": email, "token_expires_at": expires})
    else:
        say(f"[green]✓[/] Signed in to {api.url} as {email}")


def _by_device(api: Api, as_json: bool) -> Session:
    """Opens nothing by itself: the browser may be on another machine."""
    started = api.start_device()
    if as_json:
        shown = ("verification_uri", "verification_uri_complete", "user_code", "expires_in")
        emit({name: started[name] for name in shown})
    else:
        say(f"Open [bold]{started['verification_uri']}[/] and enter [bold]{started['user_code']}[/]")
        say(f"or open {started['verification_uri_complete']} and compare the code.")
    return api.await_device(started)


def logout(url: Url = None, as_json: Json = False) -> None:
    """End the session, here and at the portal."""
    api = signed_in(url)
    api.sign_out()
    if as_json:
        emit({"url": api.url, "signed_in": False})
    else:
        say(f"[green]✓[/] Signed out of {api.url}")
