"""`WS /v1/live`: JSON frames in, transitions out. Protocol only; the engine decides what changes."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.claims import caller_of
from gateway.door import live_claims
from gateway.portal import Portal
from gateway.sockets import CLOSE_WITHIN_S, HOPELESS, SIGNED_OUT, Connection, say_problem
from libs.errors import BadRequest, Forbidden, OrganizationNotFound, Refusal

logger = logging.getLogger(__name__)
router = APIRouter()

CONNECT_WITHIN_S = 10.0
PING_EVERY_S = 15.0
SEND_WITHIN_S = 20.0
MAX_FRAME_CHARS = 64 * 1024
# A client that keeps sending nonsense is not one of ours.
MAX_MALFORMED = 10
POLICY = 1008


class MalformedFrame(BadRequest):
    """The frame is not JSON, or not one that this protocol knows."""


@router.websocket("/v1/live")
async def live(websocket: WebSocket) -> None:
    portal: Portal = websocket.app.state.portal
    await websocket.accept()
    try:
        connection, resumed = await _connect(websocket, portal)
    except Refusal as refusal:
        await _refuse(websocket, refusal)
        # One that only has to wait comes back; any other must not try the same again.
        await websocket.close({401: SIGNED_OUT, 503: HOPELESS}.get(refusal.status, POLICY))
        return
    except (WebSocketDisconnect, TimeoutError):
        return
    try:
        await websocket.send_text(orjson.dumps({"type": "connected", "session": connection.session}).decode())
        if resumed is False:
            await websocket.send_text('{"type":"restart"}')
        loops = (
            _read(websocket, portal, connection),
            _write(websocket, connection),
            _ping(websocket, connection),
        )
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception) and not isinstance(ended, RuntimeError | WebSocketDisconnect):
                    logger.error("a live connection failed", exc_info=ended)
        if connection.closing == HOPELESS:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await websocket.close(HOPELESS)
    except (WebSocketDisconnect, RuntimeError, TimeoutError):
        return
    finally:
        portal.sockets.leave(connection, websocket)


async def _connect(websocket: WebSocket, portal: Portal) -> tuple[Connection, bool | None]:
    """The first frame. The second value is None for a first connection, else whether it resumed."""
    async with asyncio.timeout(CONNECT_WITHIN_S):
        frame = _parse(await _text(websocket))
    if frame.get("type") != "connect":
        raise MalformedFrame("the first frame is connect")
    named = frame.get("org")
    org = named if isinstance(named, str) else None
    claims = await live_claims(str(frame.get("token", "")), portal, org, asked=org is not None)
    resume = frame.get("resume")
    connection, resumed = await portal.sockets.open(claims, websocket, resume)
    return connection, (resumed if resume else None)


async def _read(websocket: WebSocket, portal: Portal, connection: Connection) -> None:
    malformed = 0
    while True:
        name = ""
        try:
            frame = _parse(await _text(websocket))
            if not connection.serves(websocket):
                return
            name = str(frame.get("id", ""))[:200]
            await _handle(frame, name, portal, connection, websocket)
        except (WebSocketDisconnect, RuntimeError):
            return
        except MalformedFrame as refusal:
            malformed += 1
            await _refuse(websocket, refusal)
            if malformed >= MAX_MALFORMED:
                await websocket.close(POLICY)
                return
        except Refusal as refusal:
            if name:
                await say_problem(connection, websocket, name, refusal.problem())
            else:
                await _refuse(websocket, refusal)
                if refusal.status == 401:
                    await websocket.close(SIGNED_OUT)
                    return


async def _handle(
    frame: dict[str, Any], name: str, portal: Portal, connection: Connection, websocket: WebSocket
) -> None:
    match frame.get("type"):
        case "subscribe":
            args = frame.get("args", {})
            if not name or not isinstance(args, dict):
                raise MalformedFrame("subscribe needs id, query and args")
            query = str(frame.get("query", ""))
            try:
                portal.sockets.subscribe(connection, name, query, args)
            except (Forbidden, OrganizationNotFound) as refusal:
                _note(query, args, refusal, portal, connection, websocket)
                raise
        case "unsubscribe":
            portal.sockets.unsubscribe(connection, name)
        case "token":
            org = portal.directory.slug(connection.claims.org) if connection.claims.org else None
            claims = await live_claims(str(frame.get("token", "")), portal, org, asked=org is not None)
            portal.sockets.renew(connection, claims)
        case "pong" | "ping":
            pass
        case other:
            raise MalformedFrame(f"unknown type {str(other)[:40]!r}")


def _note(
    query: str,
    args: dict[str, Any],
    refusal: Refusal,
    portal: Portal,
    connection: Connection,
    websocket: WebSocket,
) -> None:
    """Tells audit of a refused attempt on an organization that is there."""
    org = portal.directory.org_id(str(args.get("org", "")))
    if org is not None:
        grants = portal.directory.grants(connection.claims, org)
        caller = caller_of(connection.claims, websocket, grants)
        portal.refusals.record(caller, org, query, org, refusal.code)


async def _write(websocket: WebSocket, connection: Connection) -> None:
    """One frame at a time: what changes while a client takes its frame waits as one newest picture."""
    subscriber = connection.subscriber
    while True:
        await subscriber.changed()
        async with connection.sending:
            if not connection.serves(websocket):
                return
            transition = subscriber.take()
            try:
                async with asyncio.timeout(SEND_WITHIN_S):
                    await websocket.send_text(transition.frame().decode())
            except TimeoutError:
                connection.closing = HOPELESS
                return
            except (RuntimeError, WebSocketDisconnect):
                return


async def _ping(websocket: WebSocket, connection: Connection) -> None:
    while True:
        left = connection.claims.expires_at - time.time()
        if left <= 0:
            connection.closing = SIGNED_OUT
            await websocket.close(SIGNED_OUT)
            return
        await asyncio.sleep(min(PING_EVERY_S, left + 0.05))
        await websocket.send_text('{"type":"ping"}')


async def _text(websocket: WebSocket) -> str:
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    text: str | None = message.get("text")
    if text is None:
        raise MalformedFrame("frames are text")
    return text


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_FRAME_CHARS:
        raise MalformedFrame("too long")
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise MalformedFrame("not JSON") from None
    if not isinstance(frame, dict):
        raise MalformedFrame("not an object")
    return frame


async def _refuse(websocket: WebSocket, refusal: Refusal) -> None:
    body = refusal.problem().model_dump(exclude_none=True)
    try:
        await websocket.send_text(orjson.dumps({"type": "error", "error": body}).decode())
    except (RuntimeError, WebSocketDisconnect):
        return
