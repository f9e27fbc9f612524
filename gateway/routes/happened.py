"""The audit log, every event of an organization as a stream, and what the operator of the bus needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header
from pydantic import TypeAdapter
from starlette.responses import Response, StreamingResponse

from gateway.bodies import Replay
from gateway.door import Door, InOrg, SignedIn
from gateway.feeds import SERVICES, Listener, Recheck
from libs.contracts import audit as a
from libs.contracts.base import Page
from libs.contracts.common import LIST_PARKED, REPLAY_PARKED, ListParked, Parked, Replayed, ReplayParked
from libs.contracts.envelope import Fact
from libs.errors import Refusal
from libs.live.versions import from_text, to_text
from libs.permissions import PLATFORM, allows

router = APIRouter(tags=["what happened"])
BOOKMARK_S = 15.0
STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


@router.get("/v1/orgs/{org}/audit/events", response_model=Page[a.Entry])
async def entries(
    door: InOrg,
    actor: str | None = None,
    action: str | None = None,
    resource: str | None = None,
    outcome: Literal["done", "refused"] | None = None,
    trace: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Response:
    return await door.query(
        a.ListEntries(
            org=door.org,
            actor=actor,
            action=action,
            resource_prefix=_resource(resource, door),
            outcome=outcome,
            trace=trace,
            since=since,
            until=until,
            cursor=cursor,
            limit=limit,
        )
    )


@router.get("/v1/operations/audit/events", response_model=Page[a.Entry])
async def installation_entries(
    door: SignedIn, action: str | None = None, cursor: str | None = None, limit: int = 50
) -> Response:
    """What happened outside every organization: registrations, sign-ins, refused sign-ins."""
    door.operator("audit:read")
    return await door.query(a.ListEntries(org=PLATFORM, action=action, cursor=cursor, limit=limit))


@router.get("/v1/operations/dead")
async def dead(door: SignedIn) -> dict[str, Any]:
    """Messages that no service could process."""
    door.operator("dead:read")
    asking = (
        door.portal.asker.common(
            service, LIST_PARKED, ListParked(), TypeAdapter(Parked), door.caller(PLATFORM)
        )
        for service in SERVICES
    )
    found = await asyncio.gather(*asking)
    return {"items": [message for parked in found for message in parked.messages], "next": None}


@router.post("/v1/operations/dead/replay")
async def replay_dead(body: Replay, door: SignedIn) -> Replayed:
    door.operator("dead:replay")
    return await door.portal.asker.common(
        body.service,
        REPLAY_PARKED,
        ReplayParked(ids=body.ids),
        TypeAdapter(Replayed),
        door.caller(PLATFORM),
    )


@router.get("/v1/orgs/{org}/events", response_class=StreamingResponse)
async def events(door: InOrg, last_event_id: Annotated[str | None, Header()] = None) -> StreamingResponse:
    """Every event of the organization that the caller may see, as CloudEvents. `Last-Event-ID` resumes;
    what is too far back answers 410."""
    after = from_text(last_event_id) if last_event_id is not None else None
    listener = await door.portal.feeds.open(door.org, after)
    return StreamingResponse(_events(door, listener), media_type="text/event-stream", headers=STREAM_HEADERS)


async def _events(door: Door, listener: Listener) -> AsyncIterator[bytes]:
    feeds = door.portal.feeds
    try:
        yield b": connected\n\n"
        async for fact in feeds.replay(listener):
            if not _still(door):
                return
            if _may_see(door, fact):
                yield _event(listener, fact)
        while not door.portal.stopping.is_set():
            try:
                async with asyncio.timeout(BOOKMARK_S):
                    offered = await listener.queue.get()
            except TimeoutError:
                if not _still(door):
                    return
                yield f"id: {to_text(listener.positions())}\nevent: bookmark\ndata: {{}}\n\n".encode()
                continue
            if offered is None or not _still(door):
                return
            if isinstance(offered, Recheck):
                continue
            async for fact in feeds.follow(listener, offered):
                if _may_see(door, fact):
                    yield _event(listener, fact)
    except Refusal:
        # An owner could not be asked for what is missing: the client comes back with its last id.
        return
    finally:
        feeds.close(listener)


def _still(door: Door) -> bool:
    """Rights are checked again at each delivery; a stream ends with the session that opened it."""
    claims = door.claims
    return (
        claims is not None
        and claims.expires_at > time.time()
        and door.portal.directory.stands(claims)
        and bool(door.portal.directory.grants(claims, door.org))
    )


def _may_see(door: Door, fact: Fact) -> bool:
    return allows(door.portal.directory.grants(door.claims, door.org), fact.permission, fact.subject)


def _event(listener: Listener, fact: Fact) -> bytes:
    data = orjson.dumps(fact.cloud_event()).decode()
    return f"id: {to_text(listener.positions())}\nevent: {fact.type}\ndata: {data}\n\n".encode()


def _resource(path: str | None, door: Door) -> str | None:
    """Clients name a resource below the organization, or the organization by its slug."""
    if path is None:
        return None
    slug = door.portal.directory.slug(door.org)
    inside = path.removeprefix(f"{slug}/") if path != slug else ""
    return f"{door.org}/{inside}" if inside and not inside.startswith("org_") else (inside or door.org)
