"""Nobody reads or changes another tenant's things, by any route or query that there is (G8).

The routes come from the application's own table: one that is new fails here until it has a case.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from deploy.local import LocalPortal
from gateway.queries import QUERIES
from gateway.refusals import PER_MINUTE
from tests.gateway.cases import CASES, OPEN, OPEN_QUERIES, OWN, OWN_QUERIES, QUERY_ARGS, Case
from tests.gateway.conftest import Tenant, eventually
from tests.gateway.table import IN_ORG, ROUTES, SIGNED_IN, Route
from tests.portal import Person, a_slug, somebody


def body_of(case: Case, tenant: Tenant) -> dict[str, Any]:
    fields = case.body.get("json")
    return case.body if fields is None else {"json": _filled(fields, tenant)}


def _filled(value: Any, tenant: Tenant) -> Any:
    if isinstance(value, dict):
        return {name: _filled(inner, tenant) for name, inner in value.items()}
    return tenant.path(value) if isinstance(value, str) else value


def unknown_like(slug: str) -> str:
    """The slug of no organization, as long as another, so that answers can be compared byte by byte."""
    return a_slug("none").ljust(len(slug), "0")[: len(slug)]


def seen(answer: httpx.Response, slug: str) -> tuple[int, dict[str, str], dict[str, Any]]:
    """What a client can tell of an answer, but for its trace and the name that it sent itself."""
    headers = {name: value for name, value in answer.headers.items() if name != "mes-trace"}
    body = json.loads(answer.text.replace(slug, "<slug>"))
    body.pop("trace_id", None)
    return answer.status_code, headers, body


def test_every_route_has_a_case_or_a_reason_to_need_none() -> None:
    in_org = {str(route) for route in IN_ORG}
    signed_in = {str(route) for route in SIGNED_IN}
    others = {str(route) for route in ROUTES} - in_org - signed_in
    assert in_org == CASES.keys(), "each route of an organization needs a case in CASES"
    assert signed_in == OWN.keys(), "each route behind sign-in alone needs its reason in OWN"
    assert others == OPEN.keys(), "each route without sign-in needs its reason in OPEN"


def test_every_route_that_names_an_organization_is_behind_its_door() -> None:
    named = {str(route) for route in ROUTES if "{org}" in route.path}
    assert named == CASES.keys() | {route for route in OPEN if "{org}" in route}


def test_every_query_has_a_case_or_a_reason_to_need_none() -> None:
    assert set(QUERIES) == QUERY_ARGS.keys() | OPEN_QUERIES.keys() | OWN_QUERIES.keys()


async def test_the_running_portal_has_the_routes_of_the_table(portal: LocalPortal) -> None:
    async with httpx.AsyncClient(base_url=portal.url) as http:
        documented = (await http.get("/openapi.json")).json()["paths"]
    running = {f"{method.upper()} {path}" for path, methods in documented.items() for method in methods}
    table = {str(route).replace(":path}", "}") for route in ROUTES}
    assert running <= table
    assert {str(route) for route in (*IN_ORG, *SIGNED_IN)} <= running


@pytest.mark.parametrize("route", IN_ORG, ids=str)
async def test_another_tenant_learns_nothing_and_changes_nothing(
    portal: LocalPortal, victim: Tenant, outsider: Person, route: Route
) -> None:
    before = await victim.picture()
    case = CASES[str(route)]
    nowhere = unknown_like(victim.org)
    # As it should be, and as it should not: how a request is refused must not tell either.
    bodies = [body_of(case, victim)] + ([{"json": {"nonsense": 1}}] if case.body else [])
    for gateway in portal.gateways:
        for body in bodies:
            theirs = await outsider.http.request(
                route.method, gateway + victim.path(route.path), timeout=20, **body
            )
            nobodys = await outsider.http.request(
                route.method, gateway + victim.path(route.path, nowhere), timeout=20, **body
            )
            assert theirs.status_code == 404, theirs.text
            if not route.path.startswith("/scim/"):
                assert theirs.json()["code"] == "organization_not_found"
            assert seen(theirs, victim.org) == seen(nobodys, nowhere)
    assert await victim.picture() == before


@pytest.mark.parametrize(
    "header", [{"if-match": '"nonsense"'}, {"idempotency-key": ""}, {"last-event-id": "x"}]
)
async def test_odd_headers_tell_another_tenant_nothing_either(
    victim: Tenant, outsider: Person, header: dict[str, str]
) -> None:
    nowhere = unknown_like(victim.org)
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("PATCH", "/v1/orgs/{org}/apps/{app}", {"json": {"name": "Mine"}}),
        ("POST", "/v1/orgs/{org}/apps", {"json": {"slug": "mine", "name": "Mine", "kind": "remote"}}),
        ("GET", "/v1/orgs/{org}/events", {}),
        ("GET", "/v1/orgs/{org}/apps?limit=0", {}),
    ]
    for method, path, body in attempts:
        theirs = await outsider.http.request(method, victim.path(path), headers=header, **body)
        nobodys = await outsider.http.request(method, victim.path(path, nowhere), headers=header, **body)
        assert theirs.status_code == 404, theirs.text
        assert seen(theirs, victim.org) == seen(nobodys, nowhere)


@pytest.mark.parametrize("route", [r for r in IN_ORG if not CASES[str(r)].viewer_may], ids=str)
async def test_a_viewer_is_told_which_permission_is_missing(victim: Tenant, route: Route) -> None:
    before = await victim.picture()
    answer = await victim.viewer.call(
        route.method, victim.path(route.path), **body_of(CASES[str(route)], victim)
    )
    case = CASES[str(route)]
    if route.path.startswith("/scim/"):
        assert (answer.status_code, ":" in answer.json()["detail"]) == (403, True), answer.text
        return
    assert answer.json()["code"] == case.refused, answer.text
    if case.refused == "permission_missing":
        assert answer.status_code == 403, answer.text
        assert ":" in answer.json()["detail"]
    assert await victim.picture() == before


@pytest.mark.parametrize(
    "route", [r for r in IN_ORG if CASES[str(r)].viewer_may and not r.path.endswith("/events")], ids=str
)
async def test_a_viewer_may_read(victim: Tenant, route: Route) -> None:
    """Otherwise the refusals above could be those of routes that never work."""
    case = CASES[str(route)]
    await victim.viewer.call(route.method, victim.path(route.path), case.status, **body_of(case, victim))


@pytest.mark.parametrize("route", [*IN_ORG, *SIGNED_IN], ids=str)
async def test_without_a_token_nothing_opens(portal: LocalPortal, victim: Tenant, route: Route) -> None:
    body = body_of(CASES[str(route)], victim) if str(route) in CASES else {}
    if str(route) == "POST /v1/orgs":
        body = {"json": {"slug": a_slug(), "name": "Mine"}}
    async with httpx.AsyncClient(base_url=portal.url, timeout=20) as nameless:
        answer = await nameless.request(route.method, victim.path(route.path), **body)
    assert answer.status_code == 401, answer.text
    if not route.path.startswith("/scim/"):
        assert answer.json()["code"] == "token_missing"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("route", [r for r in SIGNED_IN if "/operations/" in r.path], ids=str)
async def test_what_operators_do_is_refused_to_owners(victim: Tenant, route: Route) -> None:
    body = {"json": {"service": "audit", "ids": ["x"]}} if route.method == "POST" else {}
    answer = await victim.owner.call(route.method, route.path, 403, **body)
    assert answer.json()["code"] == "permission_missing"


async def test_an_invitation_opens_for_its_address_alone(victim: Tenant, outsider: Person) -> None:
    before = await victim.picture()
    answer = await outsider.call(
        "POST", "/v1/invitations/accept", 403, json={"token": victim.invitation_token}
    )
    assert answer.json()["code"] == "invitation_of_another"
    assert await victim.picture() == before


async def test_the_victims_log_names_every_attempt(portal: LocalPortal, victim: Tenant) -> None:
    # Several, as of each only so many attempts a minute are told.
    for start in range(0, len(IN_ORG), PER_MINUTE // 2):
        await names_every_attempt(portal, victim, IN_ORG[start : start + PER_MINUTE // 2])


async def names_every_attempt(portal: LocalPortal, victim: Tenant, routes: list[Route]) -> None:
    intruder = await somebody(portal.gateways[1])
    for route in routes:
        await intruder.call(route.method, victim.path(route.path), 404, **body_of(CASES[str(route)], victim))

    async def told() -> list[dict[str, Any]]:
        page = await victim.owner.call(
            "GET",
            f"/v1/orgs/{victim.org}/audit/events",
            200,
            params={"actor": intruder.id, "outcome": "refused", "limit": 200},
        )
        items: list[dict[str, Any]] = page.json()["items"]
        return items if len(items) >= len(routes) else []

    entries = await eventually(told, "every refused attempt is in the log")
    assert sorted(entry["action"] for entry in entries) == sorted(str(route) for route in routes)
    for entry in entries:
        assert entry["outcome"] == "refused"
        assert entry["actor_name"] == intruder.email
        assert entry["resource"].split("/")[0] == victim.id
        assert entry["data"]["code"] == "organization_not_found"
        assert entry["address"] == "127.0.0.1"
        assert entry["trace_id"]
    await intruder.http.aclose()


async def test_an_intruder_cannot_fill_the_log(portal: LocalPortal, victim: Tenant) -> None:
    intruder = await somebody(portal.gateways[0])
    last = ""
    for _ in range(PER_MINUTE * 3):
        last = (await intruder.call("GET", f"/v1/orgs/{victim.org}/apps", 404)).headers["mes-trace"]
    assert last

    async def settled() -> int:
        """Another's attempt, made later, is in the log: so is what this one left there."""
        marker = await somebody(portal.gateways[0])
        await marker.call("GET", f"/v1/orgs/{victim.org}/apps", 404)

        async def there() -> list[Any]:
            return await refused(marker.id)

        await eventually(there, "the marker is in the log")
        await marker.http.aclose()
        return len(await refused(intruder.id))

    async def refused(actor: str) -> list[Any]:
        page = await victim.owner.call(
            "GET", f"/v1/orgs/{victim.org}/audit/events", 200, params={"actor": actor, "limit": 200}
        )
        items: list[Any] = page.json()["items"]
        return items

    # The clock may turn to another minute in between, so there may be twice as many.
    assert 1 <= await settled() <= PER_MINUTE * 2
    await intruder.http.aclose()


@asynccontextmanager
async def live(url: str, person: Person, **more: Any) -> AsyncIterator[ClientConnection]:
    async with connect(url.replace("http", "ws") + "/v1/live") as socket:
        await socket.send(json.dumps({"type": "connect", "token": person.token, **more}))
        yield socket


async def frame(socket: ClientConnection, kind: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = json.loads(await socket.recv())
        if found["type"] == kind:
            return found


async def subscribed(socket: ClientConnection, query: str, args: dict[str, Any]) -> dict[str, Any]:
    """What the socket says to one subscription."""
    await socket.send(json.dumps({"type": "subscribe", "id": query, "query": query, "args": args}))
    while True:
        for item in (await frame(socket, "transition"))["set"]:
            if item["id"] == query:
                found: dict[str, Any] = item
                return found


@pytest.mark.parametrize("query", sorted(QUERY_ARGS))
async def test_no_query_of_the_live_socket_reads_another_tenant(
    portal: LocalPortal, victim: Tenant, outsider: Person, query: str
) -> None:
    args = {name: victim.path(value) for name, value in QUERY_ARGS[query].items()}
    nowhere = unknown_like(victim.org)
    for asked in (args, {"app": "!", "environment": "!", "limit": 0}):
        async with live(portal.url, outsider) as socket:
            theirs = await subscribed(socket, query, {"org": victim.org, **asked})
            nobodys = await subscribed(socket, query, {"org": nowhere, **asked})
        assert theirs["error"]["code"] == "organization_not_found"
        assert json.dumps(theirs).replace(victim.org, "-") == json.dumps(nobodys).replace(nowhere, "-")
    # The same question of the tenant itself has an answer.
    async with live(portal.url, victim.owner) as socket:
        assert "value" in await subscribed(socket, query, {"org": victim.org, **args})


async def test_a_query_about_oneself_cannot_be_asked_about_another(
    portal: LocalPortal, victim: Tenant, outsider: Person
) -> None:
    async with live(portal.url, outsider) as socket:
        me = await subscribed(socket, "identity.get_me", {"user": victim.owner.id})
        orgs = await subscribed(socket, "identity.list_orgs", {"user": victim.owner.id})
    assert me["value"]["id"] == outsider.id
    assert {org["slug"] for org in orgs["value"]["items"]} == set(outsider.orgs)


async def test_a_viewers_subscription_beyond_their_role_is_refused(
    portal: LocalPortal, victim: Tenant
) -> None:
    async with live(portal.url, victim.viewer) as socket:
        for query in ("identity.list_invitations", "audit.list_entries"):
            answer = await subscribed(socket, query, {"org": victim.org})
            assert answer["error"]["code"] == "permission_missing"
        assert "value" in await subscribed(socket, "registry.list_apps", {"org": victim.org})


async def test_what_a_caller_may_see_is_never_taken_from_the_caller(
    portal: LocalPortal, victim: Tenant, outsider: Person
) -> None:
    async with live(portal.url, outsider) as socket:
        answer = await subscribed(
            socket, "registry.list_apps", {"org": victim.org, "visible": {"everything": True, "apps": []}}
        )
        assert answer["error"]["code"] == "organization_not_found"
        slies: list[Any] = [
            victim.id,
            "_platform",
            f"{victim.org}/../{victim.org}",
            f" {victim.org}",
            {},
            None,
        ]
        for sly in slies:
            answer = await subscribed(socket, "registry.list_apps", {"org": sly})
            assert answer["error"]["code"] == "organization_not_found"


async def test_another_persons_live_session_cannot_be_resumed(
    portal: LocalPortal, victim: Tenant, outsider: Person
) -> None:
    gateway = portal.gateways[0]
    async with live(gateway, victim.owner) as socket:
        session = (await frame(socket, "connected"))["session"]
        await socket.send(
            json.dumps(
                {
                    "type": "subscribe",
                    "id": "apps",
                    "query": "registry.list_apps",
                    "args": {"org": victim.org},
                }
            )
        )
        at = (await frame(socket, "transition"))["to"]
    async with live(gateway, outsider, resume={"session": session, "at": at}) as socket:
        connected = json.loads(await socket.recv())
        assert connected["session"] != session
        assert json.loads(await socket.recv())["type"] == "restart"
        # Nothing of the picture follows: the next thing said is the answer to what is asked now.
        assert (await subscribed(socket, "identity.get_me", {}))["value"]["id"] == outsider.id


async def test_refused_subscriptions_are_in_the_victims_log(portal: LocalPortal, victim: Tenant) -> None:
    intruder = await somebody(portal.url)
    async with live(portal.url, intruder) as socket:
        await subscribed(socket, "registry.list_apps", {"org": victim.org})

    async def told() -> list[dict[str, Any]]:
        page = await victim.owner.call(
            "GET", f"/v1/orgs/{victim.org}/audit/events", 200, params={"actor": intruder.id}
        )
        items: list[dict[str, Any]] = page.json()["items"]
        return items

    (entry,) = await eventually(told, "the refused subscription is in the log")
    assert (entry["action"], entry["outcome"]) == ("registry.list_apps", "refused")
    assert entry["data"]["code"] == "organization_not_found"
    await intruder.http.aclose()
