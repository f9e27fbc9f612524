"""The portal over HTTP: one person's requests, repeated safely, and refusals as failures."""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from clients.cli.failures import NotSignedIn, Refused, Unreachable, Usage
from clients.cli.session import Session, Sessions

# What the portal knows this program as.
CLIENT = "mes-cli"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER_S = 5.0
DEFAULT_URL = "http://127.0.0.1:8080"
RUN_FILE = Path(".mes/run.json")
TRIES = 6
LONGEST_PAUSE_S = 30.0
# Answers that say "not now". The key of a write makes its repetition harmless.
NOT_NOW = frozenset({429, 502, 503, 504})
PAGE = 200


def portal_url(given: str | None) -> str:
    """`--url`, MES_URL, the portal that runs from this folder, or the usual port."""
    url = given or os.environ.get("MES_URL") or str(running_here().get("url") or DEFAULT_URL)
    return url.rstrip("/")


def running_here() -> dict[str, Any]:
    """What the launcher wrote about the portal that runs from this folder."""
    try:
        found = json.loads(RUN_FILE.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


class Api:
    """`sessions` is None for a sign-in that is not stored."""

    def __init__(
        self,
        url: str,
        sessions: Sessions | None = None,
        session: Session | None = None,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url
        self.session = session or (sessions.load(url) if sessions else None)
        self._sessions = sessions
        self._pause = pause
        # The version that the last write reached: no later read may show less.
        self._seen: str | None = None
        try:
            self._http = httpx.Client(base_url=url, timeout=30.0, transport=transport)
        except httpx.InvalidURL as error:
            raise Usage(f"{url} is no address: {error}") from error

    # ---- signing in ----

    def sign_in(self, email: str, password: str) -> Session:
        tokens = self.post("/v1/sessions", {"email": email, "password": password}, signed_in=False)
        return self._keep(Session.of(email, tokens))

    def start_device(self) -> dict[str, Any]:
        """Asks to be let in by somebody at a browser (RFC 8628)."""
        answer = self.request(
            "POST", "/oauth/device_authorization", signed_in=False, data={"client_id": CLIENT}
        )
        started: dict[str, Any] = answer.json()
        return started

    def await_device(self, started: dict[str, Any]) -> Session:
        """Asks until somebody has decided."""
        interval = float(started["interval"])
        deadline = time.monotonic() + float(started["expires_in"])
        form = {"grant_type": DEVICE_GRANT, "device_code": started["device_code"], "client_id": CLIENT}
        while time.monotonic() < deadline:
            self._pause(interval)
            try:
                tokens = self.request("POST", "/oauth/token", signed_in=False, data=form).json()
            except Refused as refusal:
                error = refusal.problem.get("error")
                if error == "slow_down":
                    interval += SLOWER_S
                elif error == "access_denied":
                    raise NotSignedIn("The request was denied.") from refusal
                elif error in ("expired_token", "invalid_grant"):
                    break
                elif error != "authorization_pending":
                    raise
                continue
            session = Session.of("", tokens, CLIENT)
            who = self._http.get("/v1/me", headers={"authorization": f"Bearer {session.access_token}"})
            return self._keep(replace(session, email=str(self._checked(who).json()["email"])))
        raise NotSignedIn("Nobody let this device in while its code was good.", f"mes login --url {self.url}")

    def sign_out(self) -> None:
        self.request("DELETE", "/v1/sessions/current")
        self.forget()

    def token(self) -> str:
        """An access token that will last a while."""
        if self.session is None:
            raise NotSignedIn(hint=f"mes login --url {self.url}")
        if not self.session.is_fresh:
            self.refresh()
        return self.session.access_token

    def refresh(self) -> None:
        assert self.session is not None
        if self._sessions is None:
            self._refresh(self.session)
            return
        with self._sessions.alone():
            stored = self._sessions.load(self.url)
            if stored and stored.refresh_token != self.session.refresh_token and stored.is_fresh:
                self.session = stored  # another command was quicker
            else:
                self._refresh(stored or self.session)

    def _refresh(self, session: Session) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": session.refresh_token}
        if session.client:
            form["client_id"] = session.client
        try:
            answer = self.request("POST", "/oauth/token", signed_in=False, data=form)
        except Refused as refusal:
            if refusal.problem.get("status") not in (400, 401):
                raise
            self.forget()
            raise NotSignedIn("Your session has ended.", f"mes login --url {self.url}") from refusal
        self._keep(Session.of(session.email, answer.json(), session.client))

    def _keep(self, session: Session) -> Session:
        self.session = session
        if self._sessions:
            self._sessions.save(self.url, session)
        return session

    def forget(self) -> None:
        self.session = None
        if self._sessions:
            self._sessions.forget(self.url)

    # ---- asking ----

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.request("GET", path, params=params).json()
        return found

    def items(self, path: str) -> Iterator[dict[str, Any]]:
        """All pages of a list."""
        cursor: str | None = None
        while True:
            page = self.get(path, limit=PAGE, **({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            if (cursor := page.get("next")) is None:
                return

    def post(self, path: str, body: Any = None, signed_in: bool = True) -> dict[str, Any]:
        found: dict[str, Any] = self.request("POST", path, signed_in=signed_in, json=body).json()
        return found

    def request(self, method: str, path: str, signed_in: bool = True, **content: Any) -> httpx.Response:
        """Repeats what may succeed later; raises Refused, Unreachable or NotSignedIn."""
        headers: dict[str, str] = {}
        if method != "GET":
            headers["idempotency-key"] = uuid.uuid4().hex
        refreshed = False
        for attempt in range(1, TRIES + 1):
            if signed_in:
                headers["authorization"] = f"Bearer {self.token()}"
            if self._seen:
                headers["mes-after"] = self._seen
            try:
                response = self._http.request(method, path, headers=headers, **content)
            except httpx.UnsupportedProtocol as error:
                raise Usage(f"{self.url} is no address of a portal", "as in http://127.0.0.1:8080") from error
            except httpx.TransportError as error:
                if attempt == TRIES:
                    raise Unreachable(f"{self.url} does not answer: {error}") from error
                self._pause(_backoff(attempt))
                continue
            if response.status_code == 401 and signed_in and not refreshed:
                # Ended early, or our clock is wrong: the refresh token knows.
                refreshed = True
                self.refresh()
            elif response.status_code in NOT_NOW and attempt < TRIES:
                self._pause(retry_after(response) or _backoff(attempt))
            else:
                break
        return self._checked(response)

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            if response.request.method != "GET" and "mes-version" in response.headers:
                self._seen = response.headers["mes-version"]
            return response
        refusal = Refused.by(_problem(response), response.headers.get("mes-trace"))
        if response.status_code == 401 and response.request.headers.get("authorization"):
            raise NotSignedIn(refusal.message, f"mes login --url {self.url}")
        if response.status_code in NOT_NOW - {429}:
            raise Unreachable(refusal.message, refusal.hint, refusal.problem)
        raise refusal


def retry_after(response: httpx.Response) -> float | None:
    """Seconds, from either form of the header; never so long that somebody thinks we hang."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdecimal():
        seconds = float(value)
    else:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.05), LONGEST_PAUSE_S)


def _backoff(attempt: int) -> float:
    """Apart from one another, so that those who were refused together do not return together."""
    return min(0.2 * 2.0**attempt, 5.0) * random.uniform(0.5, 1.0)


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        problem = response.json()
    except json.JSONDecodeError:
        problem = None
    if isinstance(problem, dict):
        # The OAuth endpoints answer in a form of their own.
        detail = {"detail": problem["error_description"]} if "error_description" in problem else {}
        return {"status": response.status_code, **detail, **problem}
    # Not from the portal itself: a proxy, or another program on that port.
    return {"status": response.status_code, "title": f"HTTP {response.status_code}"}
