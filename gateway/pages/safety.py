"""Cookies of the pages, and the proof that a form was filled in on our own page."""

from __future__ import annotations

import hmac
import re
import secrets
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from libs.errors import Forbidden

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class FormInvalid(Forbidden):
    """The form came from another site, or its page was open for too long."""


class Cookies:
    """`__Host-` binds them to this host and to https; over http, in development, there is no such thing."""

    def __init__(self, issuer: str) -> None:
        self._is_secure = issuer.startswith("https://")
        prefix = "__Host-" if self._is_secure else ""
        self._browser = f"{prefix}mes-browser"
        self._form = f"{prefix}mes-form"

    def browser(self, request: Request) -> str | None:
        """Who is signed in with this browser, in identity's words."""
        return (request.cookies.get(self._browser) or "")[:2048] or None

    def keep_browser(self, response: Response, value: str, seconds: int) -> None:
        # Lax: it has to come along when a client sends the browser here.
        response.set_cookie(
            self._browser, value, seconds, path="/", secure=self._is_secure, httponly=True, samesite="lax"
        )

    def forget_browser(self, response: Response) -> None:
        response.delete_cookie(self._browser, path="/", secure=self._is_secure, httponly=True, samesite="lax")

    def form_token(self, request: Request) -> str:
        """One for all forms of a browser, so that two tabs do not disturb each other."""
        known = request.cookies.get(self._form) or ""
        return known if _TOKEN.fullmatch(known) else secrets.token_urlsafe(32)

    def keep_form(self, response: Response, token: str) -> Response:
        response.set_cookie(
            self._form, token, path="/", secure=self._is_secure, httponly=True, samesite="strict"
        )
        return response

    def check_form(self, request: Request, shown: str) -> None:
        """Raises FormInvalid. Another site can make a browser send a form here, but not with this cookie, and
        not with the value that is in it."""
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        if site not in (None, "same-origin", "none"):
            raise FormInvalid("sent from another site")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            raise FormInvalid("sent from another site")
        known = request.cookies.get(self._form) or ""
        if not _TOKEN.fullmatch(known) or not hmac.compare_digest(known.encode(), shown.encode()):
            raise FormInvalid("the page was open for too long")
