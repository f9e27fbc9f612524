"""A small HTTP/1.1 load generator: keep-alive connections, one request in flight on each, bounded in time.

Written for the bench because a general client costs more than the server that it measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast


@dataclass
class Load:
    """What a run of the generator saw."""

    seconds: float = 0.0
    answers: int = 0
    failures: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds if self.seconds else 0.0


class _Connection(asyncio.Protocol):
    def __init__(self, make: Callable[[], bytes], load: Load, until: float) -> None:
        self._make = make
        self._load = load
        self._until = until
        self._buffer = b""
        self._sent = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is no subclass of asyncio's, but has its methods.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        if time.perf_counter() >= self._until:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(self._make())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if head[9:10] == b"2":
            self._load.answers += 1
            self._load.latencies.append(time.perf_counter() - self._sent)
        else:
            self._load.failures += 1
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def run(port: int, connections: int, seconds: float, make: Callable[[], bytes]) -> Load:
    """`make` gives the bytes of the next request. Only loopback is ever asked."""
    load = Load()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    opened = [
        await loop.create_connection(lambda: _Connection(make, load, began + seconds), "127.0.0.1", port)
        for _ in range(connections)
    ]
    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*(protocol.closed for _, protocol in opened))
    load.seconds = time.perf_counter() - began
    return load


def request(method: str, path: str, token: str | None = None, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n"
    if token:
        head += f"authorization: Bearer {token}\r\n"
    if body:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body
