"""The one form that refusals have, as tests look at it."""

from __future__ import annotations

from typing import Any

import httpx

PROBLEM = "application/problem+json"


def problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """An answer in the one form that refusals have."""
    assert answer.status_code == status, answer.text[:600]
    assert answer.headers["content-type"] == PROBLEM
    assert len(answer.headers["mes-trace"]) == 32
    found: dict[str, Any] = answer.json()
    assert found["trace_id"] == answer.headers["mes-trace"]
    assert found["status"] == status
    assert code is None or found["code"] == code, found
    return found
