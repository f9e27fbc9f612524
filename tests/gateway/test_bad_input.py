"""Bodies, addresses and cursors that do not fit get a clear no in one form and change nothing (G9)."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from deploy.local import LocalPortal
from tests.gateway.refusals import problem
from tests.portal import Person, a_build, a_slug, a_tar


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large_is_refused(owner: Person, declared: bool) -> None:
    body = json.dumps({"slug": a_slug(), "name": "x" * 1_500_000}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    answer = await owner.http.post(
        "/v1/orgs",
        content=body if declared else pieces(),
        headers={"content-type": "application/json"},
    )
    problem(answer, 413, "body_too_large")


async def test_an_upload_may_be_larger_than_a_body_but_not_endless(
    portal: LocalPortal, owner: Person, app: str
) -> None:
    upload = a_tar(a_build(version="3.0.0", extra={"large.bin": secrets.token_bytes(2_000_000)}))
    await owner.call(
        "POST", f"{app}/versions", 201, files={"file": ("b.tar.gz", upload)}, data={"version": "3.0.0"}
    )
    # Only declared: the refusal comes before any of it is read.
    address = httpx.URL(portal.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        f"POST {app}/versions HTTP/1.1\r\nHost: {address.host}\r\nContent-Length: {10**9}\r\n"
        f"Authorization: Bearer {owner.token}\r\n\r\n".encode()
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "content",
    [b"{", b"slug=a", b"\xff\xfe", b'{"slug":"\xff"}', b"[" * 100_000, b"", b"[]", b'"text"', b"null", b"1"],
    ids=["cut", "form", "utf16", "no utf8", "deep", "empty", "list", "text", "null", "number"],
)
async def test_what_is_no_json_object_is_refused(owner: Person, content: bytes) -> None:
    answer = await owner.http.post("/v1/orgs", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    found = problem(answer, answer.status_code)
    assert found["code"] in ("not_json", "invalid_body")


async def test_json_under_another_content_type_is_refused(owner: Person) -> None:
    answer = await owner.http.post(
        "/v1/orgs", content=b'{"slug":"abc","name":"A"}', headers={"content-type": "text/plain"}
    )
    problem(answer, 400, "not_json")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slug": "fine", "name": "Fine", "sulg": 1}, "sulg"),
        ({"slug": "fine"}, "name"),
        ({"slug": 1, "name": "Fine"}, "slug"),
        ({"slug": ["fine"], "name": "Fine"}, "slug"),
        ({"slug": None, "name": "Fine"}, "slug"),
        ({"slug": "Not Fine", "name": "Fine"}, "slug"),
        ({"slug": "-fine", "name": "Fine"}, "slug"),
        ({"slug": "fine\n", "name": "Fine"}, "slug"),
        ({"slug": "f" * 41, "name": "Fine"}, "slug"),
        ({"slug": "fine", "name": " "}, "name"),
        ({"slug": "fine", "name": "f" * 121}, "name"),
        ({"slug": "fine", "name": {"$ne": ""}}, "name"),
        ({"slug": "fine", "name": "\ud800"}, "name"),
    ],
)
async def test_a_field_that_does_not_fit_is_named(owner: Person, body: dict[str, Any], field: str) -> None:
    answer = await owner.http.post(
        "/v1/orgs", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    found = problem(answer, 422, "invalid_body")
    assert field in [error["field"] for error in found["errors"]]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/orgs/nobody-has-this", 404, "organization_not_found"),
        ("/v1/orgs/No%20Slug", 404, "organization_not_found"),
        ("/v1/orgs/_platform", 404, "organization_not_found"),
        ("{org}/apps/none-such", 404, "app_not_found"),
        ("{org}/apps/No%20Slug", 422, "invalid_body"),
        ("{org}/apps/%00", 422, "invalid_body"),
        ("{app}/versions/9.9.9", 404, "version_not_found"),
        ("{app}/versions/one", 422, "invalid_body"),
        ("{app}/versions/1.0.0%0A", 422, "invalid_body"),
        ("{org}/environments/nowhere", 404, "environment_not_found"),
        ("{org}/environments/nowhere/rollouts", 404, "environment_not_found"),
        ("{org}/environments/nowhere/apps", 404, "environment_not_found"),
        ("{org}/rollouts/none", 404, "rollout_not_found"),
        ("{org}/rollouts/%24ne", 404, "rollout_not_found"),
        ("{org}/apps?limit=0", 422, "invalid_body"),
        ("{org}/apps?limit=201", 422, "invalid_body"),
        ("{org}/apps?limit=many", 422, "invalid_body"),
        ("{org}/members?limit=-1", 422, "invalid_body"),
        ("{org}/audit/events?since=yesterday", 422, "invalid_body"),
        ("{org}/audit/events?since=0001-01-01T00:00:00%2B23:59", 422, "invalid_body"),
        ("{org}/audit/events?until=9999-12-31T23:59:59-23:59", 422, "invalid_body"),
        ("{org}/audit/events?outcome=perhaps", 422, "invalid_body"),
        ("/v1/nothing/here", 404, "route_not_found"),
    ],
)
async def test_a_value_in_the_address_that_does_not_fit_is_refused(
    owner: Person, app: str, path: str, status: int, code: str
) -> None:
    answer = await owner.http.get(path.format(org=app.split("/apps/")[0], app=app))
    problem(answer, status, code)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_another_method_is_refused(owner: Person, method: str) -> None:
    answer = await owner.http.request(method, "/v1/orgs")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("path", "cursor", "status"),
    [
        ("{app}/versions", "abc", 400),
        ("{app}/versions", "-1", 400),
        ("{app}/versions", "\u00b2", 400),
        ("{app}/versions", "9" * 40, 400),
        ("{org}/audit/events", "abc", 400),
        ("{org}/audit/events", "YmVmb3JlIC0x", 400),
        ("{org}/apps", "x" * 600, 422),
        ("{org}/environments/production/rollouts", "x" * 600, 422),
    ],
)
async def test_a_cursor_that_no_list_gave_out_is_refused(
    owner: Person, app: str, path: str, cursor: str, status: int
) -> None:
    address = path.format(org=app.split("/apps/")[0], app=app)
    answer = await owner.http.get(address, params={"cursor": cursor})
    problem(answer, status, "cursor_unknown" if status == 400 else "invalid_body")
