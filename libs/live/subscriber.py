"""One client's side of the engine: what it holds, what waits for it, and the next frame. No sockets here."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from libs.contracts.envelope import Position
from libs.live.answers import Answer
from libs.live.versions import numbered

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
        # The version that the client was last told; frames lead from it to the next.
        self.sent = ""
        # What its client was told on another connection, before it had to start over here.
        self.seen: tuple[Position, ...] = ()
        self._version = ""
        self._frames = 0
        self._waiting: dict[str, Pushed] = {}
        self._wake = asyncio.Event()
        # id → etag of what the client was last told, and the same for past versions, for resuming.
        self._now: dict[str, str] = {}
        self._past: OrderedDict[str, dict[str, str]] = OrderedDict()

    def push(self, names: Iterable[str], answer: Answer) -> None:
        pushed = _as_it_is(answer)
        for name in names:
            if self._now.get(name) == pushed.etag:
                # Back to what the client has, or never different.
                self._waiting.pop(name, None)
            else:
                self._waiting[name] = pushed

    def publish(self, version: str) -> None:
        """Everything pushed so far belongs to this version."""
        self._version = version
        if self._waiting:
            self._wake.set()

    def drop(self, name: str) -> None:
        self._waiting.pop(name, None)
        self._now.pop(name, None)

    async def changed(self) -> None:
        """Waits until there is something to take. Somebody else may take it first."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()

    async def next(self) -> Transition:
        await self.changed()
        return self.take()

    def take(self) -> Transition:
        """What waits, as one frame. What is taken counts as sent."""
        waiting, self._waiting = self._waiting, {}
        self._frames += 1
        transition = Transition(self.sent, numbered(self._version, self._frames), tuple(waiting.items()))
        self.sent = transition.after
        self._now |= {name: pushed.etag for name, pushed in waiting.items()}
        self._past[self.sent] = dict(self._now)
        while len(self._past) > REMEMBERED:
            self._past.popitem(last=False)
        return transition

    def resume(self, at: str) -> bool:
        """Goes back to a version that the client has; `Engine.rejoin` then brings what changed since, as
        one picture. False: start over."""
        known = self._past.get(at)
        if known is None or known.keys() != self.holds.keys():
            return False
        self.sent = at
        self._now = dict(known)
        self._waiting = {}
        return True


_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\"}


def _text(value: str) -> bytes:
    if value.isascii() and value.isprintable():
        return b'"%s"' % value.translate(_ESCAPES).encode()
    return orjson.dumps(value)
