"""Whether this process lives, whether it can serve, and the bus's own description."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from gateway.asyncapi import document
from gateway.door import Public
from libs.errors import Unavailable

router = APIRouter(tags=["health"])


class NotReady(Unavailable):
    """Still reading the directory, or stopping."""


@router.get("/livez")
async def alive() -> dict[str, str]:
    return {"status": "alive"}


@router.get("/readyz")
async def ready(door: Public) -> dict[str, Any]:
    """Ready means: can decide and answer. Without the broker cached reads go on, so that is degraded."""
    portal = door.portal
    if not portal.ready:
        raise NotReady("not ready yet")
    return {
        "status": "ready" if portal.connected else "degraded",
        "broker": portal.connected,
        "connections": len(portal.sockets),
        "answers": len(portal.engine.answers),
    }


@router.get("/asyncapi")
async def asyncapi() -> Response:
    return Response(orjson.dumps(document()), media_type="application/json")
