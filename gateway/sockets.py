"""Live connections of this gateway: who holds them, what they may hold, and resuming them."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.access import Changed
from gateway.claims import Claims
from gateway.directory import Directory
from gateway.queries import Asked, named_query
from gateway.tokens import SessionOver
from libs.contracts.envelope import Position
from libs.errors import Forbidden, Problem, Refusal, TooMany
from libs.live.engine import Engine
from libs.live.subscriber import Subscriber
from libs.live.versions import from_text

# How long a lost connection's picture is kept for its client to come back to.
RESUMABLE_S = 60.0
MAX_RESUMABLE = 10_000
MAX_SUBSCRIPTIONS = 200
# A client that does not even read the end of its connection.
CLOSE_WITHIN_S = 2.0
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
    # Frames of one socket leave one after the other, each from the version that the one before led to.
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    # Why the server wants it closed, if it does.
    closing: int | None = None

    def serves(self, websocket: WebSocket) -> bool:
        """False for a socket that another has replaced, or that is being closed."""
        return self.websocket is websocket and self.closing is None


class Sockets:
    def __init__(self, engine: Engine, directory: Directory) -> None:
        self._engine = engine
        self._directory = directory
        self._by_session: dict[str, Connection] = {}
        # Those whose socket is gone, the longest first, each with what will forget it.
        self._left: OrderedDict[str, asyncio.TimerHandle] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._by_session) - len(self._left)

    async def open(self, claims: Claims, websocket: WebSocket, resume: Any) -> tuple[Connection, bool]:
        """A connection, and whether it goes on where the client was. Raises NotCaughtUp if this gateway is
        behind what the client has seen: nobody goes back in time."""
        seen: tuple[Position, ...] = ()
        if isinstance(resume, dict):
            at = str(resume.get("at", ""))
            seen = from_text(at)
            await self._engine.catch_up(seen)
            if not self._directory.stands(claims):
                # It ended while we waited, when nobody could know of this socket.
                raise SessionOver("sign in again")
            known = self._by_session.get(str(resume.get("session", "")))
            if known and known.claims.subject == claims.subject and known.subscriber.resume(at):
                self._take_over(known, claims, websocket)
                return known, True
        connection = Connection(claims, websocket)
        connection.subscriber.seen = seen
        self._by_session[connection.session] = connection
        return connection, False

    def subscribe(self, connection: Connection, name: str, query: str, args: dict[str, Any]) -> None:
        """Raises a Refusal; nothing is subscribed under this name then."""
        if connection.closing is not None:
            raise SessionOver("this connection is being closed")
        asked = Asked(query, args)
        if name not in connection.asked and len(connection.asked) >= MAX_SUBSCRIPTIONS:
            raise TooManySubscriptions(f"{MAX_SUBSCRIPTIONS} on one connection")
        try:
            bound = named_query(asked, connection.claims, self._directory)
        except Refusal:
            self.unsubscribe(connection, name)
            raise
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
        if self._by_session.get(connection.session) is not connection:
            return
        if connection.closing == SIGNED_OUT or not connection.asked:
            self._drop(connection)
            return
        later = asyncio.get_running_loop().call_later(RESUMABLE_S, self._drop, connection)
        self._left[connection.session] = later
        if len(self._left) > MAX_RESUMABLE:
            self._drop(self._by_session[next(iter(self._left))])

    def rights_changed(self, changed: Changed) -> None:
        """Called the moment an event took or gave rights."""
        for connection in list(self._by_session.values()):
            claims = connection.claims
            if changed.ended and not changed.ended.isdisjoint(claims.rests_on | claims.needs):
                # Marked at once: what waits to be sent must not be sent any more.
                connection.closing = SIGNED_OUT
                self._later(_close(connection.websocket, SIGNED_OUT))
                self._drop(connection)
            elif claims.subject in changed.subjects:
                self._judge(connection)

    def renew(self, connection: Connection, claims: Claims) -> None:
        if claims.subject != connection.claims.subject:
            raise AnotherSubject("a connection belongs to one person")
        connection.claims = claims
        self._judge(connection)

    async def close_all(self) -> None:
        sockets = [connection.websocket for connection in self._by_session.values()]
        await asyncio.gather(*(_close(socket, GOING_AWAY) for socket in sockets))

    def _take_over(self, connection: Connection, claims: Claims, websocket: WebSocket) -> None:
        """Another socket of the same client goes on with the same subscriptions."""
        if connection.websocket:
            self._later(_close(connection.websocket, GOING_AWAY))
        forgetting = self._left.pop(connection.session, None)
        if forgetting:
            forgetting.cancel()
        connection.claims, connection.websocket = claims, websocket
        connection.sending, connection.closing = asyncio.Lock(), None
        self._judge(connection)
        self._engine.rejoin(connection.subscriber)

    def _judge(self, connection: Connection) -> None:
        """Every subscription again, under the rights of now: kept, narrowed to what may be seen, or ended."""
        for name, asked in list(connection.asked.items()):
            held = connection.subscriber.holds.get(name)
            try:
                query = named_query(asked, connection.claims, self._directory)
            except Refusal as refusal:
                self.unsubscribe(connection, name)
                self._later(_say(connection, connection.websocket, name, refusal.problem()))
                continue
            if held is None or self._engine.answers.of(query) is not held:
                self._engine.subscribe(connection.subscriber, name, query)

    def _drop(self, connection: Connection) -> None:
        self._by_session.pop(connection.session, None)
        forgetting = self._left.pop(connection.session, None)
        if forgetting:
            forgetting.cancel()
        self._engine.leave(connection.subscriber)
        connection.asked.clear()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class TooManySubscriptions(TooMany):
    """The connection holds as many as one may; end some first."""


class AnotherSubject(Forbidden):
    """A connection belongs to one person; open another for another."""


async def say_problem(connection: Connection, websocket: WebSocket, name: str, problem: Problem) -> None:
    """Raises RuntimeError or WebSocketDisconnect if the socket went first."""
    async with connection.sending:
        if connection.serves(websocket):
            await websocket.send_text(problem_frame(connection.subscriber.sent, name, problem))


async def _say(connection: Connection, websocket: WebSocket | None, name: str, problem: Problem) -> None:
    try:
        if websocket:
            await say_problem(connection, websocket, name, problem)
    except (RuntimeError, WebSocketDisconnect):
        return  # it may come back, and is told to start over then


async def _close(websocket: WebSocket | None, code: int) -> None:
    try:
        async with asyncio.timeout(CLOSE_WITHIN_S):
            if websocket:
                await websocket.close(code)
    except (RuntimeError, WebSocketDisconnect, TimeoutError):
        return  # closed already, or nobody there


def problem_frame(version: str, name: str, problem: Problem) -> str:
    """A subscription that ended or never began, as a transition that changes nothing else."""
    body = problem.model_dump(exclude_none=True)
    frame = {"type": "transition", "from": version, "to": version, "set": [{"id": name, "error": body}]}
    return orjson.dumps(frame).decode()
