"""Live connections of this gateway: who holds them, what they may hold, and resuming them."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.websockets import WebSocket

from gateway.directory import Directory
from gateway.queries import Asked, named_query
from gateway.tokens import Claims
from libs.errors import Problem, Refusal
from libs.live.engine import Engine
from libs.live.subscriber import Subscriber
from libs.live.versions import from_text

# How long a lost connection's picture is kept for its client to come back to.
RESUMABLE_S = 60.0
MAX_RESUMABLE = 10_000
MAX_SUBSCRIPTIONS = 200
GOING_AWAY = 1012
HOPELESS = 1013
SIGNED_OUT = 4401


@dataclass(eq=False)
class Connection:
    """One socket with its client's rights. Subscriptions are kept as asked, to be judged again."""

    claims: Claims
    websocket: WebSocket | None
    session: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    subscriber: Subscriber = field(default_factory=Subscriber)
    asked: dict[str, Asked] = field(default_factory=dict)
    left_at: float | None = None
    # Why the server wants it closed, if it does.
    closing: int | None = None


class Sockets:
    def __init__(self, engine: Engine, directory: Directory) -> None:
        self._engine = engine
        self._directory = directory
        self._by_session: dict[str, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return sum(connection.websocket is not None for connection in self._by_session.values())

    async def open(self, claims: Claims, websocket: WebSocket, resume: Any) -> tuple[Connection, bool]:
        """A connection, and whether it goes on where the client was. Raises NotCaughtUp if this gateway is
        behind what the client has seen: nobody goes back in time."""
        self._forget_old()
        if isinstance(resume, dict):
            at = str(resume.get("at", ""))
            await self._engine.reach(from_text(at))
            known = self._by_session.get(str(resume.get("session", "")))
            if known and known.claims.subject == claims.subject and known.subscriber.resume(at):
                if known.websocket:
                    await self._close(known, GOING_AWAY)
                known.claims, known.websocket, known.left_at = claims, websocket, None
                known.closing = None
                self._judge(known)
                for answer in known.subscriber.holds.values():
                    self._engine.advance(answer.stream.org)
                return known, True
        connection = Connection(claims, websocket)
        self._by_session[connection.session] = connection
        return connection, False

    def subscribe(self, connection: Connection, name: str, query: str, args: dict[str, Any]) -> None:
        """Raises a Refusal; nothing is subscribed then."""
        asked = Asked(query, args)
        if name not in connection.asked and len(connection.asked) >= MAX_SUBSCRIPTIONS:
            raise TooManySubscriptions(f"{MAX_SUBSCRIPTIONS} on one connection")
        bound = named_query(asked, connection.claims, self._directory)
        connection.asked[name] = asked
        self._engine.subscribe(connection.subscriber, name, bound)

    def unsubscribe(self, connection: Connection, name: str) -> None:
        connection.asked.pop(name, None)
        self._engine.unsubscribe(connection.subscriber, name)

    def leave(self, connection: Connection, websocket: WebSocket) -> None:
        """The socket is gone; the picture stays for a while."""
        if connection.websocket is not websocket:
            return
        connection.websocket = None
        connection.left_at = time.monotonic()
        if connection.closing == SIGNED_OUT:
            self._drop(connection)

    def rights_changed(self, users: set[str], sessions: set[str]) -> None:
        """Called the moment an event took or gave rights."""
        for connection in list(self._by_session.values()):
            if connection.claims.session in sessions:
                self._later(self._close(connection, SIGNED_OUT))
                self._drop(connection)
            elif connection.claims.subject in users:
                self._judge(connection)

    def renew(self, connection: Connection, claims: Claims) -> None:
        if claims.subject != connection.claims.subject:
            raise AnotherSubject("a connection belongs to one person")
        connection.claims = claims
        self._judge(connection)

    async def close_all(self) -> None:
        connections = [c for c in self._by_session.values() if c.websocket]
        await asyncio.gather(*(self._close(c, GOING_AWAY) for c in connections), return_exceptions=True)

    def _judge(self, connection: Connection) -> None:
        """Every subscription again, under the rights of now: kept, narrowed to what may be seen, or ended."""
        for name, asked in list(connection.asked.items()):
            held = connection.subscriber.holds.get(name)
            try:
                query = named_query(asked, connection.claims, self._directory)
            except Refusal as refusal:
                self._engine.unsubscribe(connection.subscriber, name)
                del connection.asked[name]
                self._later(_say(connection, name, refusal.problem()))
                continue
            if held is None or self._engine.answers.of(query) is not held:
                self._engine.subscribe(connection.subscriber, name, query)

    async def _close(self, connection: Connection, code: int) -> None:
        connection.closing = code
        if connection.websocket:
            try:
                await connection.websocket.close(code)
            except RuntimeError:
                return  # closed already

    def _drop(self, connection: Connection) -> None:
        self._by_session.pop(connection.session, None)
        self._engine.leave(connection.subscriber)
        connection.asked.clear()

    def _forget_old(self) -> None:
        now = time.monotonic()
        waiting = [c for c in self._by_session.values() if c.left_at is not None]
        surplus = len(waiting) - MAX_RESUMABLE
        for index, connection in enumerate(waiting):
            if index < surplus or now - (connection.left_at or now) > RESUMABLE_S:
                self._drop(connection)

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class TooManySubscriptions(Refusal):
    status = 429


class AnotherSubject(Refusal):
    status = 403


async def _say(connection: Connection, name: str, problem: Problem) -> None:
    if connection.websocket:
        try:
            await connection.websocket.send_text(problem_frame(connection.subscriber.version, name, problem))
        except RuntimeError:
            return  # the socket went first


def problem_frame(version: str, name: str, problem: Problem) -> str:
    """A subscription that ended or never began, as a transition that changes nothing else."""
    body = problem.model_dump(exclude_none=True)
    frame = {"type": "transition", "from": version, "to": version, "set": [{"id": name, "error": body}]}
    return orjson.dumps(frame).decode()
