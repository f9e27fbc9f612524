"""How long somebody still reads after a right was taken away, as their own clients see it.

Two gateways, live subscriptions on both, and requests always under way. What counts is the last answer that
still was one, whenever its request began, against the moment in which the removal was answered.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

SOCKETS = 10  # on each of two gateways
SUBSCRIPTIONS = 10  # on each socket
READERS = 4  # on each gateway
SETTLED_WITHIN_S = 30.0
# What reads are refused with, once the right is gone.
REFUSED = (401, 403, 404)


@dataclass
class Socket:
    """Ten subscriptions: when one of them last had a value, and which have ended."""

    connection: ClientConnection
    names: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    last_value: float = 0.0
    closed: bool = False

    @classmethod
    async def open(cls, gateway: str, token: str, org: str, app: str) -> Self:
        url = f"{gateway.replace('http', 'ws', 1)}/v1/live"
        socket = cls(await connect(url, max_size=None, proxy=None, ping_interval=None))
        await socket._send({"type": "connect", "token": token})
        for number in range(SUBSCRIPTIONS):
            name = f"s{number}"
            socket.names.add(name)
            args: dict[str, Any] = {"org": org, "app": app}
            # Half of them share an answer; each of the others has arguments, and so an answer, of its own.
            query = "registry.get_app" if number % 2 else "registry.list_versions"
            if number % 2 == 0:
                args["limit"] = number + 1
            await socket._send({"type": "subscribe", "id": name, "query": query, "args": args})
        return socket

    async def listen(self) -> None:
        try:
            async for text in self.connection:
                now = time.perf_counter()
                for item in json.loads(text).get("set", ()):
                    if "error" in item:
                        self.held.discard(item["id"])
                    else:
                        self.last_value = now
                        self.held.add(item["id"])
        except ConnectionClosed:
            pass
        self.held.clear()
        self.closed = True

    async def _send(self, frame: dict[str, Any]) -> None:
        await self.connection.send(json.dumps(frame))


@dataclass
class Reader:
    """One request after the other, until it is refused."""

    last_success: float = 0.0
    reads: int = 0
    refused: int | None = None

    async def read(self, gateway: str, token: str, path: str) -> None:
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=gateway, headers=headers, timeout=30) as http:
            while self.refused is None:
                # Every other one by an address that was not asked for before, which nothing remembers.
                params = {"n": self.reads} if self.reads % 2 else {}
                answer = await http.get(path, params=params)
                if answer.status_code == 200:
                    self.last_success = time.perf_counter()
                    self.reads += 1
                else:
                    assert answer.status_code in REFUSED, answer.text
                    self.refused = answer.status_code


@dataclass(frozen=True)
class Seen:
    """One removal. `seconds` from its answer to the last successful read; 0 where none came after it."""

    seconds: float
    reads: int
    subscriptions: int


async def watch_removal(
    gateways: list[str], token: str, org: str, app: str, remove: Callable[[], Awaitable[Any]]
) -> Seen:
    """Reads and watches as the token's holder, has the right removed, and waits until nothing is answered
    any more. Raises TimeoutError if that never comes."""
    async with AsyncExitStack() as stack:
        opening = (Socket.open(gateway, token, org, app) for gateway in gateways for _ in range(SOCKETS))
        sockets = list(await asyncio.gather(*opening))
        for socket in sockets:
            stack.push_async_callback(socket.connection.close)
        readers = [Reader() for _ in range(READERS * len(gateways))]
        tasks = [asyncio.create_task(socket.listen()) for socket in sockets]
        tasks += [
            asyncio.create_task(reader.read(gateways[n % len(gateways)], token, f"/v1/orgs/{org}/apps/{app}"))
            for n, reader in enumerate(readers)
        ]
        try:
            await _until(lambda: all(socket.held == socket.names for socket in sockets))
            await _until(lambda: all(reader.reads >= 3 for reader in readers))
            held = sum(len(socket.held) for socket in sockets)
            await remove()
            answered = time.perf_counter()
            await _until(
                lambda: (
                    all(reader.refused for reader in readers) and not any(socket.held for socket in sockets)
                )
            )
            # Long enough for whatever was still on its way.
            await asyncio.sleep(0.05)
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended
    last = max(max(reader.last_success for reader in readers), max(socket.last_value for socket in sockets))
    return Seen(max(0.0, last - answered), sum(reader.reads for reader in readers), held)


async def keep_changing(change: Callable[[int], Awaitable[Any]]) -> None:
    """Gives the watchers something to see, about twenty times a second, until it is cancelled."""
    number = 0
    with suppress(asyncio.CancelledError):
        while True:
            await change(number)
            number += 1
            await asyncio.sleep(0.05)


async def _until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while not fact():
            await asyncio.sleep(0.002)
