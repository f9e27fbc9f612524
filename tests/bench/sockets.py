"""Many live connections from one process: just enough of RFC 6455 to listen cheaply."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
import time
from collections.abc import Callable
from typing import cast

import orjson

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


class Watcher(asyncio.Protocol):
    """Connects, subscribes, and calls `on_frame(at, payload)` for each text frame."""

    def __init__(
        self, token: str, query: str, args: dict[str, str], on_frame: Callable[[float, bytes], None]
    ) -> None:
        self._token = token
        self._query = query
        self._args = args
        self._on_frame = on_frame
        self._buffer = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is no subclass of asyncio's, but has its methods.
        self.transport = cast(asyncio.Transport, transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET /v1/live HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            f"sec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._buffer += data
        if not self._open:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            assert b" 101 " in head.split(b"\r\n", 1)[0], head
            self._open, self._buffer = True, rest
            self.send({"type": "connect", "token": self._token})
            self.send({"type": "subscribe", "id": "it", "query": self._query, "args": self._args})
        while (frame := self._next()) is not None:
            opcode, payload = frame
            if opcode == TEXT:
                self._on_frame(now, payload)
            elif opcode == PING:
                self._write(PONG, payload)
            elif opcode == CLOSE:
                raise ConnectionError(f"the gateway closed a live connection: {payload!r}")

    def _next(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1] & 0x7F, 2
        if size == 126:
            if len(buffer) < 4:
                return None
            size, at = struct.unpack(">H", buffer[2:4])[0], 4
        elif size == 127:
            if len(buffer) < 10:
                return None
            size, at = struct.unpack(">Q", buffer[2:10])[0], 10
        if len(buffer) < at + size:
            return None
        self._buffer = buffer[at + size :]
        return buffer[0] & 0x0F, buffer[at : at + size]

    def send(self, message: dict[str, object]) -> None:
        self._write(TEXT, orjson.dumps(message))

    def _write(self, opcode: int, body: bytes) -> None:
        head = bytes([0x80 | opcode]) + (
            bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + struct.pack(">H", len(body))
        )
        # A mask of zeroes is a valid mask, and leaves the payload as it is.
        self.transport.write(head + b"\0\0\0\0" + body)
