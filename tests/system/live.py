"""A client of the live socket for tests. It checks of every frame what every client may rely on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from libs.contracts.envelope import Stream
from libs.live.versions import from_text

# Generous: a machine under load is no failure.
WITHIN_S = 60.0


def positions(version: str) -> dict[Stream, int]:
    return {position.stream: position.sequence for position in from_text(version)}


@dataclass(eq=False)
class LiveClient:
    """One socket, and what its client knows by it."""

    socket: ClientConnection
    token: str
    # Answers and problems by subscription, as the last frame that named it had them.
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: str = ""
    session: str = ""
    restarted: bool = False
    frames: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    closed: int | None = None
    fault: BaseException | None = None
    # What a client that starts over had seen before.
    _before_restart: dict[Stream, int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _reader: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, gateway: str, token: str, resume: LiveClient | None = None) -> Self:
        """Connected; `resume` is an earlier connection to go on from."""
        url = f"{gateway.replace('http', 'ws', 1)}/v1/live"
        socket = await connect(url, max_size=None, proxy=None, open_timeout=WITHIN_S, ping_interval=None)
        client = cls(socket, token)
        hello: dict[str, Any] = {"type": "connect", "token": token}
        if resume:
            hello["resume"] = {"session": resume.session, "at": resume.version}
            client.answers, client.version = dict(resume.answers), resume.version
        client._reader = asyncio.create_task(client._read())
        await client.send(hello)
        await client.until(lambda: bool(client.session or client.errors or client.closed))
        if resume and client.session not in ("", resume.session):
            # Another connection than the one that was asked for has to say so.
            await client.until(lambda: client.restarted or client.closed is not None)
        return client

    async def send(self, frame: dict[str, Any]) -> None:
        await self.socket.send(json.dumps(frame))

    async def subscribe(self, name: str, query: str, **args: Any) -> None:
        await self.send({"type": "subscribe", "id": name, "query": query, "args": args})

    async def watch(self, name: str, query: str, **args: Any) -> Any:
        """Subscribes and waits for the first answer."""
        self.answers.pop(name, None)
        await self.subscribe(name, query, **args)
        await self.until(lambda: name in self.answers)
        return self.value(name)

    def value(self, name: str) -> Any:
        return self.answers[name]["value"]

    async def until(self, fact: Callable[[], bool]) -> None:
        """Waits for what frames bring about."""
        try:
            async with asyncio.timeout(WITHIN_S):
                while not fact():
                    if self.fault:
                        raise self.fault
                    await self._changed.wait()
                    self._changed.clear()
        except TimeoutError:
            raise AssertionError(f"did not come: {self.answers} {self.errors} {self.closed}") from None
        if self.fault:
            raise self.fault

    async def any_change(self, seconds: float) -> None:
        """Returns at the next frame, or after a while."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
                self._changed.clear()
        except TimeoutError:
            return

    def cut(self) -> None:
        """As when the network goes: no goodbye."""
        self.socket.transport.abort()

    async def close(self) -> None:
        await self.socket.close()
        if self._reader:
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                self._take(json.loads(text))
                self._changed.set()
        except ConnectionClosed:
            pass
        except AssertionError as error:
            self.fault = error
        self.closed = self.socket.close_code or 1006
        self._changed.set()

    def _take(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "connected":
                self.session = frame["session"]
            case "restart":
                # What it was told before counts for nothing but one thing: nothing older may come.
                self.restarted = True
                self.answers.clear()
                self._before_restart = positions(self.version)
                self.version = ""
            case "transition":
                self._transition(frame)
            case "error":
                self.errors.append(frame["error"])
            case "ping":
                pass
            case other:
                raise AssertionError(f"unknown frame {other}")

    def _transition(self, frame: dict[str, Any]) -> None:
        assert frame["from"] == self.version, (frame, self.version)
        assert frame["set"], "a frame that says nothing"
        before, after = self._before_restart | positions(self.version), positions(frame["to"])
        for stream, sequence in before.items():
            assert after.get(stream, sequence) >= sequence, f"back in time: {before} → {after}"
        self.version = frame["to"]
        self.frames.append(frame)
        for one in frame["set"]:
            self.answers[one["id"]] = one
