"""Refusals in OAuth's own form (RFC 6749, 5.2), for the routes on which its clients expect that."""

from __future__ import annotations

import re

import orjson
from starlette.responses import Response

from libs.errors import Problem, Refusal
from libs.oauth import every_oauth_refusal
from libs.telemetry import current_trace_id

PREFIX = "/oauth/"
# Where the answer is about an access token that was shown, rather than asked for (RFC 6750).
_RESOURCES = frozenset({"/oauth/userinfo"})
_NAMES = every_oauth_refusal()
# What the standard lets a description hold.
_UNSAFE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


def speaks_oauth(path: str) -> bool:
    return path.startswith(PREFIX)


def oauth_response(refusal: Refusal, path: str) -> Response:
    """`code` and `trace_id` are ours, as in every other refusal; clients ignore what they do not know."""
    problem = refusal.problem()
    error, status = _named(problem, path in _RESOURCES)
    body = {
        "error": error,
        "error_description": _UNSAFE.sub(" ", problem.detail or problem.title)[:300],
        "code": problem.code,
        "trace_id": current_trace_id(),
    }
    headers = {"cache-control": "no-store", "pragma": "no-cache"}
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    if status == 401:
        shown = f'Bearer error="{error}"' if path in _RESOURCES else 'Basic realm="mes"'
        headers["www-authenticate"] = shown
    elif status == 403 and path in _RESOURCES:
        headers["www-authenticate"] = f'Bearer error="{error}"'
    return Response(orjson.dumps(body), status, headers, "application/json")


def _named(problem: Problem, is_resource: bool) -> tuple[str, int]:
    if problem.code in _NAMES:
        return problem.code, _NAMES[problem.code].status
    if problem.status >= 500:
        return ("temporarily_unavailable" if problem.status == 503 else "server_error"), problem.status
    if problem.status in (413, 429):
        return ("temporarily_unavailable" if problem.status == 429 else "invalid_request"), problem.status
    if problem.status == 401:
        # A refresh token that is no longer good is a bad grant; only clients fail to authenticate here.
        return ("invalid_token", 401) if is_resource else ("invalid_grant", 400)
    if problem.status == 403 and is_resource:
        return "insufficient_scope", 403
    return "invalid_request", 400
