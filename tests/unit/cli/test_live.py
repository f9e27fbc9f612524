"""The live socket of `mes watch`: subscribed once, resumed, started over. No network here."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from clients.cli.api import Api
from clients.cli.failures import NotSignedIn, Refused, Unreachable
from clients.cli.live import NAME, Live
from clients.cli.session import Session

CONNECTED = {"type": "connected", "session": "ses_1"}
SUBSCRIBE = {"type": "subscribe", "id": NAME, "query": "registry.list_apps", "args": {"org": "acme"}}


def transition(version: str, **item: Any) -> dict[str, Any]:
    return {"type": "transition", "from": "", "to": version, "set": [{"id": NAME, **item}]}


def a_session(lasts: float = 600) -> Session:
    return Session("ada@example.org", "access", "refresh", time.time() + lasts)


def _renewed(request: httpx.Request) -> httpx.Response:
    body = {"access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 600}
    return httpx.Response(200, json=body)


class Script:
    """Connections in turn; each sends its frames and is then lost, with a code if there is one."""

    def __init__(self, *connections: list[dict[str, Any]] | Exception, code: int = 1006) -> None:
        self.api = Api("http://portal.test", None, a_session(), httpx.MockTransport(_renewed))
        self.heard: list[list[dict[str, Any]]] = []
        self.paused: list[float] = []
        self._connections = list(connections)
        self._code = code
        self._frames: list[dict[str, Any]] = []

    @contextmanager
    def connect(self, url: str) -> Iterator[Script]:
        assert url == "ws://portal.test/v1/live"
        step = self._connections.pop(0) if len(self._connections) > 1 else self._connections[0]
        if isinstance(step, Exception):
            raise step
        self._frames = list(step)
        self.heard.append([])
        yield self

    def send(self, message: str, /) -> None:
        self.heard[-1].append(json.loads(message))

    def recv(self, timeout: float | None = None) -> str:
        if not self._frames:
            raise ConnectionClosedError(Close(self._code, ""), None)
        return json.dumps(self._frames.pop(0))

    def live(self) -> Live:
        return Live(
            self.api, "registry.list_apps", {"org": "acme"}, connect=self.connect, pause=self.paused.append
        )


def values(live: Live, count: int) -> list[Any]:
    return [answer["value"] for answer in islice(live.answers(), count)]


def test_it_subscribes_and_yields_what_changes() -> None:
    script = Script([CONNECTED, transition("v1", value=1), {"type": "ping"}, transition("v2", value=2)])
    assert values(script.live(), 2) == [1, 2]
    assert script.heard == [[{"type": "connect", "token": "access"}, SUBSCRIBE]]


def test_after_a_loss_it_resumes_where_it_was() -> None:
    script = Script([CONNECTED, transition("v1", value=1)], [CONNECTED, transition("v2", value=2)])
    assert values(script.live(), 2) == [1, 2]
    resume = {"session": "ses_1", "at": "v1"}
    # The portal kept the subscription: a second one would be answered twice.
    assert script.heard[1] == [{"type": "connect", "token": "access", "resume": resume}]


def test_a_restart_subscribes_anew() -> None:
    other = {"type": "connected", "session": "ses_2"}
    script = Script(
        [CONNECTED, transition("v1", value=1)],
        [other, {"type": "restart"}, transition("w1", value=2)],
        [other, transition("w2", value=3)],
    )
    assert values(script.live(), 3) == [1, 2, 3]
    assert script.heard[1][1:] == [SUBSCRIBE]
    assert script.heard[2][0]["resume"] == {"session": "ses_2", "at": "w1"}


def test_a_token_near_its_end_is_renewed_on_the_same_socket() -> None:
    script = Script([CONNECTED, transition("v1", value=1), transition("v2", value=2)])
    answers = script.live().answers()
    assert next(answers) == {"value": 1}
    script.api.session = a_session(lasts=5)
    assert next(answers) == {"value": 2}
    assert script.heard == [
        [{"type": "connect", "token": "access"}, SUBSCRIBE, {"type": "token", "token": "access-2"}]
    ]


def test_a_socket_that_is_closed_for_its_token_is_opened_with_a_new_one() -> None:
    script = Script([CONNECTED, transition("v1", value=1)], code=4401)
    assert values(script.live(), 2) == [1, 1]
    assert [heard[0]["token"] for heard in script.heard] == ["access", "access-2"]


def test_a_token_that_is_refused_again_is_the_end() -> None:
    refused = {"type": "error", "error": {"status": 401, "code": "session_over", "title": "Session over"}}
    with pytest.raises(NotSignedIn):
        values(Script([refused]).live(), 1)


def test_a_query_that_is_refused_is_the_end() -> None:
    missing = {"status": 403, "code": "permission_missing", "title": "Permission missing"}
    with pytest.raises(Refused, match="Permission missing"):
        values(Script([CONNECTED, transition("v1", error=missing)]).live(), 1)


def test_an_outage_of_the_query_is_told_and_passes() -> None:
    outage = {"status": 503, "code": "service_unavailable", "title": "Service unavailable"}
    script = Script([CONNECTED, transition("v1", error=outage), transition("v2", value=2)])
    assert list(islice(script.live().answers(), 2)) == [{"error": outage}, {"value": 2}]


def test_without_a_first_connection_the_portal_is_unreachable() -> None:
    script = Script(OSError("refused"))
    with pytest.raises(Unreachable):
        values(script.live(), 1)
    assert len(script.paused) == 4


def test_a_portal_that_was_there_is_waited_for() -> None:
    gone = OSError("refused")
    script = Script(
        [CONNECTED, transition("v1", value=1)], *[gone] * 9, [CONNECTED, transition("v2", value=2)]
    )
    assert values(script.live(), 2) == [1, 2]
    assert len(script.paused) == 10
    assert max(script.paused) == 5.0
