"""Assets that are not there, ranges that cannot be served, and pages of other origins."""

from __future__ import annotations

import httpx
import pytest

from deploy.local import LocalPortal
from tests.gateway.refusals import problem
from tests.portal import a_build


@pytest.mark.parametrize(
    ("wanted", "status", "span"),
    [
        ("bytes=0-3", 206, slice(0, 4)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=-4", 206, slice(-4, None)),
        ("bytes=0-9999", 206, slice(None)),
        ("bytes=9999-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=a-b", 200, slice(None)),
        ("bytes=\u00b2-", 200, slice(None)),
        ("bytes=" + "9" * 5000 + "-", 200, slice(None)),
        ("bytes=0-1,3-4", 200, slice(None)),
        ("lines=0-1", 200, slice(None)),
        ("nonsense", 200, slice(None)),
    ],
)
async def test_a_range_is_served_or_clearly_not(
    portal: LocalPortal, app: str, wanted: str, status: int, span: slice | None
) -> None:
    content = a_build(version="1.0.0")["page.js"]
    address = app.replace("/v1/orgs/", "/assets/").replace("/apps/", "/")
    async with httpx.AsyncClient(base_url=portal.url) as http:
        answer = await http.get(
            f"{address}/1.0.0/page.js",
            headers=[(b"range", wanted.encode("latin-1")), (b"accept-encoding", b"identity")],
        )
    assert answer.status_code == status, answer.text
    assert answer.headers["mes-trace"]
    if span is None:
        problem(answer, 416, "range_not_satisfiable")
    else:
        assert answer.content == content[span]
        assert (status == 206) == ("content-range" in answer.headers)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("{org}/{app}/1.0.0/none.js", "file_not_found"),
        ("{org}/{app}/1.0.0/", "file_not_found"),
        ("{org}/{app}/1.0.0/%2e%2e/%2e%2e/etc/passwd", "file_not_found"),
        ("{org}/{app}/1.0.0/page.js%00", "file_not_found"),
        ("{org}/{app}/9.9.9/page.js", "version_not_found"),
        ("{org}/none/1.0.0/page.js", "version_not_found"),
        ("nobody/none/1.0.0/page.js", "organization_not_found"),
    ],
)
async def test_an_asset_that_is_not_there_is_a_problem_too(
    portal: LocalPortal, app: str, path: str, code: str
) -> None:
    org, slug = app.removeprefix("/v1/orgs/").split("/apps/")
    async with httpx.AsyncClient(base_url=portal.url) as http:
        problem(await http.get("/assets/" + path.format(org=org, app=slug)), 404, code)


async def test_a_browser_of_another_origin_reads_the_answer(portal: LocalPortal) -> None:
    """Browsers refuse an answer that says twice who may read it."""
    async with httpx.AsyncClient(base_url=portal.url) as http:
        for path in ("/livez", "/v1/me", "/nothing"):
            answer = await http.get(path, headers={"origin": "https://shell.example"})
            assert answer.headers.get_list("access-control-allow-origin") == ["*"]
        preflight = await http.options(
            "/v1/orgs",
            headers={"origin": "https://shell.example", "access-control-request-method": "POST"},
        )
        assert preflight.status_code == 200
        assert preflight.headers.get_list("access-control-allow-origin") == ["*"]
