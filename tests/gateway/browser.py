"""A browser without scripts, for the pages of signing in: follows nothing by itself, fills in forms."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import secrets
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from tests.portal import PASSWORD

VERIFIER = "v" * 64
CLI = "http://127.0.0.1:52525/callback"


def a_challenge(verifier: str = VERIFIER) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def a_request(**changes: str | None) -> dict[str, str]:
    """A good authorization request of the command line; None leaves a parameter out."""
    good = {
        "response_type": "code",
        "client_id": "mes-cli",
        "redirect_uri": CLI,
        "scope": "openid profile email offline_access",
        "state": secrets.token_hex(8),
        "nonce": secrets.token_hex(8),
        "code_challenge": a_challenge(),
        "code_challenge_method": "S256",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def answer_of(response: httpx.Response) -> dict[str, str]:
    """The parameters that a redirect takes to the client."""
    assert response.status_code == 303, response.text
    return {
        name: values[0] for name, values in parse_qs(urlsplit(response.headers["location"]).query).items()
    }


class Browser:
    """Keeps cookies, and knows the last page's form."""

    def __init__(self, url: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, timeout=20, follow_redirects=False)
        self.page = httpx.Response(204)

    async def get(self, path: str, parameters: dict[str, str] | None = None) -> httpx.Response:
        self.page = await self.http.get(path, params=parameters)
        return self.page

    async def submit(self, fields: dict[str, str], headers: dict[str, str] | None = None) -> httpx.Response:
        """The form of the page, its hidden fields and these."""
        action, hidden = self.form()
        self.page = await self.http.post(action, data={**hidden, **fields}, headers=headers)
        return self.page

    def form(self) -> tuple[str, dict[str, str]]:
        found = re.search(r'<form method="post" action="([^"]*)".*?</form>', self.page.text, re.DOTALL)
        assert found, self.page.text
        pairs = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', found[0])
        return html.unescape(found[1]), {name: html.unescape(value) for name, value in pairs}

    async def signs_in(self, email: str, password: str = PASSWORD, **more: str) -> httpx.Response:
        return await self.submit({"email": email, "password": password, "action": "allow", **more})

    async def authorizes(self, email: str, **changes: str | None) -> dict[str, str]:
        """The whole way: the page, the credentials, and what comes back to the client."""
        await self.get("/oauth/authorize", a_request(**changes))
        return answer_of(await self.signs_in(email))

    async def redeems(self, code: str, **changes: str | None) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": "mes-cli",
            "redirect_uri": CLI,
            "code_verifier": VERIFIER,
        }
        sent = {name: value for name, value in {**form, **changes}.items() if value is not None}
        return await self.http.post("/oauth/token", data=sent)

    async def token(self, **form: Any) -> httpx.Response:
        return await self.http.post("/oauth/token", content=urlencode(form), headers=FORM)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.http.aclose()


FORM = {"content-type": "application/x-www-form-urlencoded"}
