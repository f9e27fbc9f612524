"""Requests are repeated safely, refusals become failures, tokens are renewed. No portal here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from clients.cli.api import Api, portal_url, retry_after
from clients.cli.failures import NotSignedIn, Refused, Unreachable, Usage
from clients.cli.session import Session, Sessions

URL = "http://portal.test"
TRACE = "0af7651916cd43dd8448eb211c80319c"
Answer = httpx.Response | Exception


class Portal:
    """Answers in turn, the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers: Answer | Callable[[httpx.Request], Answer]) -> None:
        self.asked: list[httpx.Request] = []
        self.paused: list[float] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not isinstance(answer, httpx.Response | Exception):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def api(self, session: Session | None = None, sessions: Sessions | None = None) -> Api:
        return Api(URL, sessions, session, httpx.MockTransport(self), self.paused.append)

    def sent(self, header: str) -> list[str | None]:
        return [request.headers.get(header) for request in self.asked]


def a_session(access: str = "access", refresh: str = "refresh", lasts: float = 600) -> Session:
    return Session("ada@example.org", access, refresh, time.time() + lasts)


def tokens(number: int = 2) -> httpx.Response:
    body = {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}", "expires_in": 600}
    return httpx.Response(200, json=body)


def problem(status: int, code: str = "app_exists", **headers: str) -> httpx.Response:
    body = {"type": "about:blank", "title": "App exists", "status": status, "code": code, "detail": "orders"}
    return httpx.Response(status, json=body, headers={"mes-trace": TRACE, **headers})


def ok(**headers: str) -> httpx.Response:
    return httpx.Response(200, json={"items": [], "next": None}, headers=headers)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_write_is_repeated_under_the_same_key_until_it_is_taken(status: int) -> None:
    portal = Portal(httpx.Response(status), httpx.ReadTimeout("late"), ok())
    portal.api(a_session()).post("/v1/orgs", {"slug": "acme"})
    keys = portal.sent("idempotency-key")
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0]


def test_two_writes_have_two_keys() -> None:
    portal = Portal(ok())
    api = portal.api(a_session())
    api.post("/v1/orgs", {"slug": "acme"})
    api.post("/v1/orgs", {"slug": "acme"})
    assert len(set(portal.sent("idempotency-key"))) == 2


def test_the_pause_is_the_one_that_the_portal_asks_for() -> None:
    portal = Portal(problem(429, **{"retry-after": "7"}), ok())
    portal.api(a_session()).get("/v1/orgs")
    assert portal.paused == [7.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.05),
        ("86400", 30.0),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 30.0),
        (format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), 0.05),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_understood_in_both_forms(header: str, seconds: float | None) -> None:
    assert retry_after(httpx.Response(503, headers={"retry-after": header})) == seconds


def test_without_an_answer_the_portal_is_unreachable() -> None:
    portal = Portal(httpx.ConnectError("refused"))
    with pytest.raises(Unreachable) as failure:
        portal.api(a_session()).get("/v1/orgs")
    assert failure.value.code == 3
    assert len(portal.asked) == 6


@pytest.mark.parametrize(("status", "code"), [(400, 1), (403, 1), (404, 1), (409, 1), (429, 1), (503, 3)])
def test_the_exit_code_tells_a_refusal_from_an_outage(status: int, code: int) -> None:
    with pytest.raises((Refused, Unreachable)) as failure:
        Portal(problem(status)).api(a_session()).get("/v1/orgs")
    assert failure.value.code == code


def test_a_refusal_names_its_reason_its_fields_and_its_trace() -> None:
    answer = problem(422)
    body = answer.json() | {"errors": [{"field": "slug", "message": "too long"}]}
    portal = Portal(httpx.Response(422, json=body, headers={"mes-trace": TRACE}))
    with pytest.raises(Refused) as refusal:
        portal.api(a_session()).post("/v1/orgs", {})
    assert refusal.value.message == "App exists: orders"
    assert "slug: too long" in refusal.value.hint
    assert TRACE in refusal.value.hint
    assert refusal.value.as_json()["error"]["code"] == "app_exists"


def test_an_answer_from_something_else_on_that_port_is_a_refusal_too() -> None:
    with pytest.raises(Refused, match="HTTP 418"):
        Portal(httpx.Response(418, text="<html>")).api(a_session()).get("/v1/orgs")


def test_nobody_is_signed_in_without_a_session() -> None:
    portal = Portal(ok())
    with pytest.raises(NotSignedIn) as failure:
        portal.api().get("/v1/orgs")
    assert failure.value.code == 4
    assert portal.asked == []


def test_a_token_near_its_end_is_renewed_first(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "session.json")
    portal = Portal(tokens(2), ok())
    portal.api(a_session(lasts=5), sessions).get("/v1/orgs")
    assert portal.asked[0].url.path == "/oauth/token"
    assert b"grant_type=refresh_token" in portal.asked[0].content
    assert portal.sent("authorization") == [None, "Bearer access-2"]
    stored = sessions.load(URL)
    assert stored is not None
    assert stored.refresh_token == "refresh-2"


def test_a_token_that_another_command_has_renewed_is_taken_over(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "session.json")
    sessions.save(URL, a_session("theirs", "refresh-2"))
    portal = Portal(ok())
    portal.api(a_session(lasts=0), sessions).get("/v1/orgs")
    # The refresh token that we hold has been used: a second use would end the session for everybody.
    assert portal.sent("authorization") == ["Bearer theirs"]


def test_a_token_that_is_refused_is_renewed_once() -> None:
    portal = Portal(problem(401), tokens(2), ok())
    portal.api(a_session()).get("/v1/orgs")
    assert portal.sent("authorization") == ["Bearer access", None, "Bearer access-2"]


def pending(error: str = "authorization_pending") -> httpx.Response:
    return httpx.Response(400, json={"error": error, "error_description": "not yet"})


STARTED = {"device_code": "d", "interval": 5, "expires_in": 600}


def test_a_device_asks_until_it_is_let_in_and_more_slowly_if_told(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "session.json")
    me = httpx.Response(200, json={"email": "ada@example.org"})
    portal = Portal(pending(), pending("slow_down"), tokens(2), me)
    session = portal.api(sessions=sessions).await_device(STARTED)
    assert (session.email, session.client) == ("ada@example.org", "mes-cli")
    assert portal.paused == [5.0, 5.0, 10.0]
    assert sessions.load(URL) == session


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant"])
def test_a_device_that_is_not_let_in_is_not_signed_in(error: str) -> None:
    portal = Portal(pending(error))
    with pytest.raises(NotSignedIn):
        portal.api().await_device(STARTED)
    assert len(portal.asked) == 1


def test_a_session_of_a_device_is_renewed_as_its_client() -> None:
    portal = Portal(tokens(2), ok())
    portal.api(replace(a_session(lasts=5), client="mes-cli")).get("/v1/orgs")
    assert b"client_id=mes-cli" in portal.asked[0].content


def test_a_session_that_has_ended_is_forgotten(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "session.json")
    sessions.save(URL, a_session(lasts=0))
    with pytest.raises(NotSignedIn):
        Portal(problem(401)).api(sessions=sessions).get("/v1/orgs")
    assert sessions.load(URL) is None


def test_an_outage_while_renewing_ends_no_session(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "session.json")
    sessions.save(URL, a_session(lasts=0))
    with pytest.raises(Unreachable):
        Portal(problem(503)).api(sessions=sessions).get("/v1/orgs")
    assert sessions.load(URL) is not None


def test_a_read_after_a_write_asks_for_what_the_write_reached() -> None:
    portal = Portal(
        ok(**{"mes-version": "registry/org_1=7"}), ok(**{"mes-version": "registry/org_1=6"}), ok()
    )
    api = portal.api(a_session())
    api.post("/v1/orgs", {})
    api.get("/v1/orgs")
    api.get("/v1/orgs")
    assert portal.sent("mes-after") == [None, "registry/org_1=7", "registry/org_1=7"]


def test_all_pages_of_a_list_are_walked() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        cursor = request.url.params.get("cursor")
        body: dict[str, Any] = {"items": [{"n": 2}], "next": None}
        return httpx.Response(200, json=body if cursor == "b" else {"items": [{"n": 1}], "next": "b"})

    assert list(Portal(page).api(a_session()).items("/v1/apps")) == [{"n": 1}, {"n": 2}]


def test_tokens_are_readable_by_their_owner_alone_and_kept_by_portal(tmp_path: Path) -> None:
    path = tmp_path / "mes" / "session.json"
    sessions = Sessions(path)
    sessions.save(URL, a_session("one"))
    sessions.save("http://other.test", a_session("two"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert (sessions.load(URL) or a_session()).access_token == "one"
    assert sessions.load("http://evil.test") is None
    sessions.forget(URL)
    assert sessions.load(URL) is None
    assert (sessions.load("http://other.test") or a_session()).access_token == "two"


def test_a_broken_session_file_means_not_signed_in(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.write_text('{"http://portal.test": {"email":')
    assert Sessions(path).load(URL) is None
    path.write_text(json.dumps({URL: {"other": "version"}}))
    assert Sessions(path).load(URL) is None


def test_the_portal_is_named_by_option_variable_or_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MES_URL", raising=False)
    assert portal_url(None) == "http://127.0.0.1:8080"
    (tmp_path / ".mes").mkdir()
    (tmp_path / ".mes" / "run.json").write_text('{"url": "http://127.0.0.1:9000"}')
    assert portal_url(None) == "http://127.0.0.1:9000"
    monkeypatch.setenv("MES_URL", "https://mes.example/")
    assert portal_url(None) == "https://mes.example"
    assert portal_url("http://x.test/") == "http://x.test"


def test_an_address_without_a_scheme_is_a_matter_of_usage() -> None:
    with pytest.raises(Usage):
        Api("localhost:8080", session=a_session()).get("/v1/orgs")
