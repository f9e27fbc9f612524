"""Those who watch while processes die: live connections and event streams, each checking what it is told."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from libs.contracts.envelope import Stream
from libs.live.versions import MalformedVersion, from_text, to_text

QUERIES: dict[str, tuple[str, dict[str, Any]]] = {
    "apps": ("registry.list_apps", {"limit": 200}),
    "live": ("deploy.list_placements", {"environment": "production"}),
    "members": ("identity.list_members", {}),
}
RECONNECT_S = 0.1
# Longer than the server's pings are apart.
SILENCE_S = 40.0


class LiveWatcher:
    """A client of `WS /v1/live`. It hangs up now and then, and resumes with what it has.

    `choose` names the gateway of the next connection.
    """

    def __init__(self, org: str, token: str, choose: Callable[[], str], rng: random.Random) -> None:
        self.org = org
        self.values: dict[str, Any] = {}
        self.complaints: list[str] = []
        self.transitions = 0
        self.connections = 0
        self.resumed = 0
        self._token = token
        self._choose = choose
        self._rng = rng
        self._session: str | None = None
        # The version that it has, and the one that the next frame must lead from.
        self._at = ""
        self._before = ""
        self._seen: dict[Stream, int] = {}

    async def run(self) -> None:
        while True:
            url = self._choose().replace("http://", "ws://") + "/v1/live"
            with suppress(OSError, TimeoutError, WebSocketException):
                async with connect(url, open_timeout=10, proxy=None, max_size=None) as socket:
                    self.connections += 1
                    async with asyncio.timeout(self._rng.uniform(2, 10)):
                        await self._follow(socket)
            await asyncio.sleep(RECONNECT_S)

    async def _follow(self, socket: ClientConnection) -> None:
        asked: dict[str, Any] = {"type": "connect", "token": self._token}
        self._before = self._at
        resuming = self._session is not None
        if resuming:
            asked["resume"] = {"session": self._session, "at": self._at}
        await socket.send(json.dumps(asked))
        while True:
            frame = json.loads(await socket.recv())
            match frame["type"]:
                case "connected":
                    self._session = frame["session"]
                    if resuming:
                        self.resumed += 1
                    else:
                        await self._subscribe(socket)
                case "restart":
                    self.resumed -= 1
                    await self._subscribe(socket)
                case "transition":
                    self._take(frame)
                case "error":
                    if frame["error"]["status"] != 503:
                        self.complaints.append(f"refused: {frame['error']}")
                    return
                case "ping":
                    pass

    async def _subscribe(self, socket: ClientConnection) -> None:
        self._before = ""
        for name, (query, args) in QUERIES.items():
            frame = {"type": "subscribe", "id": name, "query": query, "args": {"org": self.org, **args}}
            await socket.send(json.dumps(frame))

    def _take(self, frame: dict[str, Any]) -> None:
        self.transitions += 1
        if frame["from"] != self._before:
            self.complaints.append(f"had {self._before!r}, and was told of a change from {frame['from']!r}")
        self._at = self._before = frame["to"]
        try:
            reached = from_text(frame["to"])
        except MalformedVersion:
            self.complaints.append(f"{frame['to']!r} is no version")
            return
        for position in reached:
            if position.sequence < self._seen.get(position.stream, 0):
                self.complaints.append(f"went back from {self._seen[position.stream]} to {position}")
            self._seen[position.stream] = position.sequence
        for item in frame["set"]:
            if "error" in item:
                self.complaints.append(f"{item['id']} failed: {item['error']}")
                continue
            if item["id"] == "apps":
                self._compare_apps(self.values.get("apps"), item["value"])
            self.values[item["id"]] = item["value"]

    def _compare_apps(self, before: Any, after: Any) -> None:
        """Nothing here is ever deleted: an application that vanishes, or has fewer versions, is the past."""
        if before is None:
            return
        now = {app["slug"]: app["versions"] for app in after["items"]}
        for app in before["items"]:
            if now.get(app["slug"], -1) < app["versions"]:
                self.complaints.append(
                    f"{app['slug']} had {app['versions']} versions, now {now.get(app['slug'])}"
                )


class EventsWatcher:
    """A client of an organization's events from the first one on, at another gateway each time."""

    def __init__(self, org: str, org_id: str, token: str, choose: Callable[[], str]) -> None:
        self.org = org
        self.org_id = org_id
        self.complaints: list[str] = []
        self.received: dict[str, list[str]] = {}
        self.connections = 0
        self._choose = choose
        self._headers = {"authorization": f"Bearer {token}"}
        self._last = f"identity/{org_id}=0"

    def position(self, service: str) -> int:
        return len(self.received.get(service, ()))

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=SILENCE_S, trust_env=False, headers=self._headers) as http:
            while True:
                with suppress(httpx.TransportError):
                    await self._follow(http)
                await asyncio.sleep(RECONNECT_S)

    async def _follow(self, http: httpx.AsyncClient) -> None:
        url = f"{self._choose()}/v1/orgs/{self.org}/events"
        async with http.stream("GET", url, headers={"last-event-id": self._last}) as response:
            if response.status_code == 503:
                return
            if response.status_code != 200:
                self.complaints.append(f"{response.status_code}: {(await response.aread())[:300]!r}")
                return
            self.connections += 1
            fields: dict[str, str] = {}
            async for line in response.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    self._take(fields)
                    fields = {}

    def _take(self, fields: dict[str, str]) -> None:
        if "id" not in fields:
            return
        self._last = fields["id"]
        if fields["event"] == "bookmark":
            return
        event = json.loads(fields["data"])
        service = event["source"].removeprefix("/mes/")
        received = self.received.setdefault(service, [])
        if int(event["sequence"]) != len(received) + 1:
            self.complaints.append(f"after {len(received)} events of {service} came {event['id']}")
        received.append(event["id"])
        at = {position.stream: position.sequence for position in from_text(self._last)}
        if at.get(Stream(service, self.org_id)) != int(event["sequence"]):
            self.complaints.append(f"{event['id']} came under the id {to_text(from_text(self._last))}")
