"""The FastAPI application: routes, problems, documentation."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from pydantic import ValidationError
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from gateway import problems
from gateway.portal import Portal
from gateway.routes import (
    access,
    account,
    authorize,
    authzen,
    factors,
    happened,
    health,
    live,
    oauth,
    organizations,
    providers,
    scim,
    shells,
    trust,
    what,
    where,
)
from libs.service.commands import field_errors

DESCRIPTION = """\
Who may, what is there, where it runs, what happened: for applications built with Module Federation.
Every answer carries `Mes-Trace`; every write takes `Idempotency-Key` and answers with `Mes-Version`, which a
reader may send back as `Mes-After`."""

MODULES = (
    account,
    factors,
    oauth,
    authorize,
    access,
    trust,
    authzen,
    providers,
    scim,
    organizations,
    what,
    where,
    happened,
    shells,
    live,
    health,
)
# The edge's own span covers a request; FastAPI's would say the same again, at a tenth of its cost.
SILENT: TelemetryConfig = {"tracing": False, "metrics": False}


def create(portal: Portal) -> FastAPI:
    app = FastAPI(title="MES Portal", version="1", description=DESCRIPTION, redoc_url=None, telemetry=SILENT)
    app.state.portal = portal
    problems.install(app)

    @app.exception_handler(ValidationError)
    async def does_not_fit(request: Request, error: ValidationError) -> Response:
        """A path or query value that its contract refuses."""
        return problems.problem_response(problems.InvalidBody("a value does not fit", field_errors(error)))

    for module in MODULES:
        app.include_router(module.router)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["ETag", "Mes-Trace", "Mes-Version", "Retry-After"],
        max_age=86_400,
    )
    return app
