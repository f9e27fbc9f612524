"""One trace from the HTTP request to the live frame, as one tree over all processes (G10)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from deploy.local import LocalPortal
from libs.telemetry.tree import spans_of, tree_of
from tests.portal import Person, somebody
from tests.system.live import LiveClient

WITHIN_S = 60.0
Spans = list[dict[str, Any]]

EDGES = {
    ("gateway", "deploy"),  # the command
    ("deploy", "registry"),  # is there such a version? and later: it went live
    ("deploy", "audit"),  # the log
    ("deploy", "gateway"),  # the events, and with them the live frame
    ("registry", "gateway"),  # where the version is live now
    ("registry", "audit"),
}


def edges_of(spans: Spans) -> set[tuple[str, str]]:
    """Which service called or notified which: pairs of service names, the caller first."""
    service = {span["span"]: span["service"] for span in spans}
    return {
        (service[span["parent"]], span["service"])
        for span in spans
        if span["parent"] in service and service[span["parent"]] != span["service"]
    }


def named(spans: Spans, service: str, name: str) -> Spans:
    return [span for span in spans if span["service"] == service and span["name"].startswith(name)]


def is_whole(spans: Spans) -> bool:
    """Every link of the way has written its spans down."""
    known = {span["span"] for span in spans}
    return (
        edges_of(spans) >= EDGES
        and bool(named(spans, "gateway", "live.frame"))
        and sum(span["parent"] not in known for span in spans) == 1
    )


async def trace_of(portal: LocalPortal, trace: str, whole: Callable[[Spans], bool] = is_whole) -> Spans:
    """The spans of a trace, once it is whole; processes write them down a moment later."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        spans = spans_of(portal.folder.path / "traces", trace)
        if whole(spans):
            return spans
        if time.monotonic() > deadline:
            told = sorted(f"{span['service']} {span['name']} < {span['parent']}" for span in spans)
            raise AssertionError(f"edges {edges_of(spans)} of\n" + "\n".join(told))
        await asyncio.sleep(0.2)


async def _watched(portal: LocalPortal, owner: Person, gateway: int) -> tuple[str, str, LiveClient]:
    """An application with a version, and somebody who watches what is live."""
    org = await owner.make_org()
    app = await owner.make_app(org)
    await owner.publish(org, app, "1.0.0")
    client = await LiveClient.open(portal.gateways[gateway], owner.token)
    await client.watch("live", "deploy.list_placements", org=org, environment="production")
    return org, app, client


def above(spans: Spans, span: dict[str, Any]) -> list[str]:
    """The names on the way from a span up to the root."""
    by_id = {one["span"]: one for one in spans}
    names = []
    while span["parent"] in by_id:
        span = by_id[span["parent"]]
        names.append(span["name"])
    return names


async def test_one_tree_from_the_request_to_the_live_frame(portal: LocalPortal) -> None:
    owner = await somebody(portal.url)
    org, app, client = await _watched(portal, owner, 0)
    answer = await owner.roll_out(org, app, "1.0.0")
    await client.until(lambda: len(client.value("live")["items"]) == 1)
    spans = await trace_of(portal, answer.headers["mes-trace"])

    roots = tree_of(spans)
    assert [root.span["service"] for root in roots] == ["gateway"]
    assert roots[0].span["name"] == "POST /v1/orgs/{org}/environments/{env}/rollouts"
    assert roots[0].span["parent"] is None
    assert edges_of(spans) >= EDGES

    # Every kind of work on the way: asked, decided, saved, sent out, taken in, recorded, shown.
    for service, name in [
        ("gateway", "send mes.commands:deploy.start_rollout"),
        ("deploy", "process deploy.start_rollout"),
        ("deploy", "send mes.commands:registry.read"),
        ("registry", "registry.get_version"),
        ("deploy", "journal.commit"),
        ("deploy", "send mes.events:deploy.version_went_live"),
        ("registry", "journal.commit"),
        ("audit", "journal.commit"),
        ("gateway", "process gateway.events"),
        ("deploy", "deploy.list_placements"),
        ("gateway", "live.frame"),
    ]:
        assert named(spans, service, name), f"no {name} of {service}: {sorted({s['name'] for s in spans})}"
    kinds = {span["kind"] for span in spans}
    assert kinds >= {"server", "client", "producer", "consumer", "internal"}
    databases = [span for span in spans if span["attributes"].get("db.system.name") == "mongodb"]
    assert {span["service"] for span in databases} >= {"deploy", "registry", "audit"}
    # Deciding again after somebody else's commit is ordinary; nothing else may go wrong.
    errors = {span["error"] for span in spans if span["error"]}
    assert all("StateChanged" in error for error in errors), errors

    # The frame hangs below the event that brought it, and that below the commit that it tells of.
    frame = named(spans, "gateway", "live.frame")[0]
    way = above(spans, frame)
    assert way[0] == "process gateway.events"
    assert way.index("journal.commit") < way.index("process deploy.start_rollout")
    assert way[-1] == roots[0].span["name"]
    await client.close()
    await owner.http.aclose()


async def test_the_callers_own_trace_goes_on_through_the_portal(portal: LocalPortal) -> None:
    owner = await somebody(portal.url)
    org, app, client = await _watched(portal, owner, 1)
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    answer = await owner.call(
        "POST",
        f"/v1/orgs/{org}/environments/production/rollouts",
        201,
        json={"app": app, "version": "1.0.0"},
        headers={"traceparent": f"00-{trace}-{parent}-01"},
    )
    assert answer.headers["mes-trace"] == trace
    spans = await trace_of(portal, trace)
    assert [root.span["parent"] for root in tree_of(spans)] == [parent]
    await client.close()
    await owner.http.aclose()


async def test_subscribing_adds_nothing_to_a_trace_of_somebody_else(portal: LocalPortal) -> None:
    """A frame is in the trace of the event that caused it; one that somebody else's coming causes is not."""
    owner = await somebody(portal.url)
    org, app, client = await _watched(portal, owner, 0)
    answer = await owner.roll_out(org, app, "1.0.0")
    await client.until(lambda: len(client.value("live")["items"]) == 1)
    before = await trace_of(portal, answer.headers["mes-trace"])
    another = await LiveClient.open(portal.gateways[0], owner.token)
    await another.watch("live", "deploy.list_placements", org=org, environment="production")
    await another.watch("apps", "registry.list_apps", org=org)
    later = await owner.call("PATCH", f"/v1/orgs/{org}/apps/{app}", 200, json={"name": "Later"})
    await another.until(lambda: another.value("apps")["items"][0]["name"] == "Later")
    # What came after has been written down by now, so what is missing is not merely late.
    await trace_of(
        portal, later.headers["mes-trace"], lambda spans: bool(named(spans, "gateway", "live.frame"))
    )
    after = spans_of(portal.folder.path / "traces", answer.headers["mes-trace"])
    assert len(named(after, "gateway", "live.frame")) == len(named(before, "gateway", "live.frame"))
    for one in (client, another):
        await one.close()
    await owner.http.aclose()
