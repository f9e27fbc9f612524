"""One subscription on the live socket: connected, resumed, started over, and signed in throughout."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException
from websockets.sync.client import connect

from clients.cli.api import Api
from clients.cli.failures import NotSignedIn, Refused, Unreachable, Usage
from clients.cli.session import MARGIN_S

NAME = "watch"
SIGNED_OUT = 4401
# Only before the first connection: later it is known that there is a portal, and it will be back.
FIRST_TRIES = 5
LONGEST_PAUSE_S = 5.0


class Socket(Protocol):
    def send(self, message: str, /) -> None: ...

    def recv(self, timeout: float | None = None) -> str | bytes: ...


Connect = Callable[[str], AbstractContextManager[Socket]]


class _TokenRefused(Exception):
    """The portal wants another token."""


class _NotNow(Exception):
    """The portal asks to come back."""


class Live:
    """`told` hears of what happens to the connection, for people to see."""

    def __init__(
        self,
        api: Api,
        query: str,
        args: dict[str, Any],
        told: Callable[[str], None] = lambda news: None,
        connect: Connect = lambda url: connect(url, max_size=None, open_timeout=10),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._subscribe = {"type": "subscribe", "id": NAME, "query": query, "args": args}
        self._told = told
        self._connect = connect
        self._pause = pause
        self._url = "ws" + api.url.removeprefix("http") + "/v1/live"
        # Where we are: the connection's name at the portal, and the last version that we saw.
        self._session: str | None = None
        self._at: str | None = None
        self._fruitless = 0
        self._unauthorized = 0

    def answers(self) -> Iterator[dict[str, Any]]:
        """Every answer of the query as it changes, `{"value"}` or `{"error"}`, for as long as it is asked."""
        while True:
            try:
                with self._connect(self._url) as socket:
                    yield from self._talk(socket)
            except InvalidURI as error:
                raise Usage(f"{self._api.url} is no address of a portal") from error
            except _TokenRefused:
                self._renew()
            except ConnectionClosed as closed:
                if closed.rcvd and closed.rcvd.code == SIGNED_OUT:
                    self._renew()
                else:
                    self._wait(closed)
            except (_NotNow, OSError, WebSocketException) as error:
                self._wait(error)

    def _talk(self, socket: Socket) -> Iterator[dict[str, Any]]:
        hello: dict[str, Any] = {"type": "connect", "token": self._api.token()}
        if self._session and self._at:
            hello["resume"] = {"session": self._session, "at": self._at}
        _send(socket, hello)
        while True:
            frame = self._next(socket)
            match frame["type"]:
                case "connected":
                    self._session = frame["session"]
                    self._fruitless = self._unauthorized = 0
                    if self._at is None:
                        _send(socket, self._subscribe)
                case "restart":
                    self._at = None
                    self._told("starting over")
                    _send(socket, self._subscribe)
                case "transition":
                    self._at = frame["to"]
                    yield from (_answer(one) for one in frame["set"] if one["id"] == NAME)
                case "error":
                    _refuse(frame["error"])

    def _next(self, socket: Socket) -> dict[str, Any]:
        """The next frame. The token is renewed on the way, so that the socket outlives it."""
        while True:
            session = self._api.session
            assert session is not None
            left = session.expires_at - MARGIN_S - time.time()
            if left <= 0:
                _send(socket, {"type": "token", "token": self._api.token()})
                continue
            try:
                frame: dict[str, Any] = json.loads(socket.recv(timeout=left))
                return frame
            except TimeoutError:
                continue

    def _renew(self) -> None:
        self._unauthorized += 1
        if self._unauthorized > 1:
            raise NotSignedIn("The portal does not accept your sign-in.", f"mes login --url {self._api.url}")
        self._api.refresh()

    def _wait(self, error: Exception) -> None:
        self._fruitless += 1
        if self._session is None and self._fruitless >= FIRST_TRIES:
            raise Unreachable(f"{self._api.url} does not answer: {error}") from error
        self._told("connection lost; coming back")
        self._pause(min(0.2 * 2**self._fruitless, LONGEST_PAUSE_S))


def _send(socket: Socket, frame: dict[str, Any]) -> None:
    socket.send(json.dumps(frame))


def _answer(one: dict[str, Any]) -> dict[str, Any]:
    problem = one.get("error")
    if problem is not None and problem.get("status", 500) < 500:
        raise Refused.by(problem)
    return {"error": problem} if problem is not None else {"value": one["value"]}


def _refuse(problem: dict[str, Any]) -> None:
    status = problem.get("status", 500)
    if status == 401:
        raise _TokenRefused
    if status >= 500 or status == 429:
        raise _NotNow(problem.get("detail") or problem.get("code"))
    raise Refused.by(problem)
