"""Refusals and validation errors as RFC 9457 answers."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.oauth_problems import oauth_response, speaks_oauth
from gateway.scim import answers
from libs.errors import BadRequest, InternalError, Invalid, NotFound, Problem, Refusal
from libs.telemetry import current_trace_id

MEDIA_TYPE = "application/problem+json"


class InvalidBody(Invalid):
    """A field is missing, unknown, or does not fit; `errors` names it."""


class NotJson(BadRequest):
    """The body is not JSON, or its content type says so."""


class RouteNotFound(NotFound):
    """No such address."""


class MethodNotAllowed(BadRequest):
    """The address is there, but not for this method."""

    status = 405


class BadMultipart(BadRequest):
    """The form could not be read."""


def problem_response(refusal: Refusal) -> Response:
    problem = refusal.problem()
    problem = problem.model_copy(update={"trace_id": current_trace_id()})
    headers = {}
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    return _response(problem, headers)


def _response(problem: Problem, headers: dict[str, str]) -> Response:
    return Response(problem.model_dump_json(exclude_none=True), problem.status, headers, MEDIA_TYPE)


def _refused(request: Request, refusal: Refusal) -> Response:
    """In the form that the clients of this address understand."""
    if speaks_oauth(request.url.path):
        return oauth_response(refusal, request.url.path)
    return problem_response(refusal)


def install(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        if request.url.path.startswith(answers.PREFIX):
            return answers.refused(error.problem(), getattr(error, "keyword", None))
        return _refused(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        found = error.errors()
        if speaks_oauth(request.url.path):
            names = ", ".join(sorted({str(one["loc"][-1]) for one in found if one["type"] == "missing"}))
            return oauth_response(
                InvalidBody(f"missing: {names}" if names else "a parameter does not fit"), request.url.path
            )
        if request.url.path.startswith(answers.PREFIX):
            return answers.refused(InvalidBody("; ".join(one["msg"] for one in found)[:500]).problem())
        if any(one["type"] in ("json_invalid", "model_attributes_type") for one in found):
            return problem_response(NotJson("send a JSON object with content-type application/json"))
        return problem_response(
            InvalidBody(
                "; ".join(one["msg"] for one in found)[:500],
                errors=tuple(
                    {
                        "field": ".".join(str(part) for part in one["loc"][1:]) or str(one["loc"][0]),
                        "message": one["msg"],
                        "code": one["type"],
                    }
                    for one in found
                ),
            )
        )

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        """What Starlette itself refuses."""
        if isinstance(error.__cause__, Refusal):
            # A body that was too large while it was read, which FastAPI takes for one that cannot be parsed.
            return _refused(request, error.__cause__)
        form = request.headers.get("content-type", "").startswith(("multipart/", "application/x-www-form"))
        kinds = {404: RouteNotFound, 405: MethodNotAllowed, 400: BadMultipart if form else NotJson}
        kind = kinds.get(error.status_code, BadRequest)
        if request.url.path.startswith(answers.PREFIX):
            return answers.refused(kind(str(error.detail)).problem())
        response = _refused(request, kind(str(error.detail)))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        """A fault of ours, which the edge logs: Starlette raises it again after this answer."""
        return _refused(request, InternalError(type(error).__name__))
