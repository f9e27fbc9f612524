"""Answers and refusals in SCIM's own form (RFC 7644)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError
from scim2_models import Context, Error, ListResponse, Resource, ResponseParameters, SCIMException
from starlette.responses import Response

from libs.errors import BadRequest, Problem

MEDIA_TYPE = "application/scim+json"
PREFIX = "/scim/"
# Codes of ours that SCIM has a keyword for.
_KEYWORDS = {
    "user_name_taken": "uniqueness",
    "team_exists": "uniqueness",
    "group_member_unknown": "invalidValue",
}


class ScimRefused(BadRequest):
    """What SCIM's own rules refuse; the keyword says which of them."""

    keyword: str = ""
    _status: int = 400

    @classmethod
    def by(cls, status: int, keyword: str, detail: str) -> ScimRefused:
        refusal = cls(detail)
        refusal.keyword, refusal._status = keyword, status
        return refusal

    def problem(self) -> Problem:
        return super().problem().model_copy(update={"status": self._status})


class ScimMalformed(BadRequest):
    """The body is not JSON, or no object."""


def refused(problem: Problem, keyword: str | None = None) -> Response:
    """A refusal of ours as a client of SCIM reads it."""
    status = 400 if problem.status == 422 else problem.status
    keyword = keyword or _KEYWORDS.get(problem.code) or ("invalidValue" if problem.status == 422 else None)
    error = Error(status=status, scim_type=keyword, detail=problem.detail or problem.title)
    headers = {"retry-after": str(problem.retry_after)} if problem.retry_after is not None else {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return _response(error.model_dump(mode="json", by_alias=True, exclude_none=True), status, headers)


def of_library(error: Exception) -> ScimRefused:
    """What the library found wrong with a payload, a path or a filter."""
    if isinstance(error, SCIMException):
        return ScimRefused.by(error.status, error.scim_type, str(error.detail))
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        keyword = "invalidSyntax" if first["type"] in ("json_invalid", "model_type") else "invalidValue"
        return ScimRefused.by(400, keyword, f"{where}: {first['msg']}"[:500])
    return ScimRefused.by(400, "invalidValue", type(error).__name__)


# Which attributes are asked for, or left out.
Shown = ResponseParameters[Any]


def one(resource: Resource[Any], context: Context, status: int = 200, shown: Shown | None = None) -> Response:
    body = resource.model_dump(mode="json", scim_ctx=context, response_parameters=shown)
    location = resource.meta.location if resource.meta else None
    return _response(body, status, {"location": str(location)} if location else {})


def many(
    resources: list[Any],
    total: int,
    start: int,
    of: type[Any],
    shown: Shown | None = None,
) -> Response:
    kind: Any = ListResponse.__class_getitem__(of)
    page = kind(
        total_results=total, start_index=start, items_per_page=len(resources), resources=resources or None
    )
    body = page.model_dump(mode="json", scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=shown)
    return _response(body, 200)


def nothing() -> Response:
    return Response(status_code=204)


def _response(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, dict(headers or {}), MEDIA_TYPE)
