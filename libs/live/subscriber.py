"""One client's side of the engine: what it holds, what waits for it, and the next frame. No sockets here."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from libs.live.answers import Answer

# Past versions of a connection that a reconnecting client may resume from.
REMEMBERED = 16


class Pushed(NamedTuple):
    """An answer as it was in the picture that it belongs to; later readings do not show through."""

    body: bytes
    etag: str
    is_error: bool


def _as_it_is(answer: Answer) -> Pushed:
    return Pushed(answer.body, answer.etag, answer.problem is not None)


@dataclass(frozen=True)
class Transition:
    """From one picture to the next: every subscription that changed, together."""

    before: str
    after: str
    items: tuple[tuple[str, Pushed], ...]

    def frame(self) -> bytes:
        """The JSON frame. Bodies are already encoded and shared by all who get them."""
        parts = b",".join(
            b'{"id":%s,"%s":%s}' % (_text(name), b"error" if pushed.is_error else b"value", pushed.body)
            for name, pushed in self.items
        )
        return b'{"type":"transition","from":%s,"to":%s,"set":[%s]}' % (
            _text(self.before),
            _text(self.after),
            parts,
        )


class Subscriber:
    """Collects what changed until its client takes it: the newest picture, never a growing queue."""

    def __init__(self) -> None:
        self.holds: dict[str, Answer] = {}
        self.version = ""
        self._sent = ""
        self._waiting: dict[str, Pushed] = {}
        self._wake = asyncio.Event()
        # version → id → etag, for resuming.
        self._past: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._now: dict[str, str] = {}

    def push(self, names: set[str], answer: Answer) -> None:
        for name in names:
            self._waiting[name] = _as_it_is(answer)

    def publish(self, version: str) -> None:
        """Everything pushed so far belongs to this version."""
        self.version = version
        if self._waiting:
            self._wake.set()

    def drop(self, name: str) -> None:
        self._waiting.pop(name, None)
        self._now.pop(name, None)

    async def next(self) -> Transition:
        """Waits for a change. What is taken counts as sent."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._waiting:
                break
        return self.take()

    def take(self) -> Transition:
        waiting, self._waiting = self._waiting, {}
        transition = Transition(self._sent, self.version, tuple(waiting.items()))
        self._sent = self.version
        self._now |= {name: pushed.etag for name, pushed in waiting.items()}
        self._past[self.version] = dict(self._now)
        while len(self._past) > REMEMBERED:
            self._past.popitem(last=False)
        return transition

    def resume(self, at: str) -> bool:
        """Goes on from a version that the client has: queues what changed since. False: start over."""
        known = self._past.get(at)
        if known is None or set(known) != set(self.holds):
            return False
        self._sent = at
        self._now = dict(known)
        self._waiting = {
            name: _as_it_is(answer) for name, answer in self.holds.items() if known[name] != answer.etag
        }
        if self._waiting:
            self._wake.set()
        return True


_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\"}


def _text(value: str) -> bytes:
    if value.isascii() and value.isprintable():
        return b'"%s"' % value.translate(_ESCAPES).encode()
    return orjson.dumps(value)
