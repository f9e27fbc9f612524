"""The gateway's own table of routes, read from the application itself without connecting to anything."""

from __future__ import annotations

import tempfile
from typing import NamedTuple

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from gateway.app import create
from gateway.portal import Portal
from gateway.settings import GatewaySettings


class Route(NamedTuple):
    """One method of one path. `guard` names the dependency that opens the door, if there is one."""

    method: str
    path: str
    guard: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _application() -> FastAPI:
    folder = f"file://{tempfile.gettempdir()}"
    return create(Portal(GatewaySettings(amqp_url="amqp://nobody@localhost", objects_url=folder)))


def route_table() -> list[Route]:
    found = []
    for context in iter_route_contexts(APP.routes):
        guards = [
            dependency.call.__name__
            for dependency in getattr(getattr(context, "dependant", None), "dependencies", ())
            if dependency.call is not None
        ]
        assert len(guards) <= 1, f"{context.path} has several doors: {guards}"
        for method in sorted(context.methods or {"WEBSOCKET"}):
            found.append(Route(method, str(context.path), guards[0].lstrip("_") if guards else None))
    return found


APP = _application()
DOCUMENT = APP.openapi()
ROUTES = route_table()
IN_ORG = [route for route in ROUTES if route.guard == "in_org"]
SIGNED_IN = [route for route in ROUTES if route.guard == "signed_in"]
