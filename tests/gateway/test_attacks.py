"""Cheap requests that would make a gateway forget whom an answer is for, or remember without end."""

from __future__ import annotations

import secrets

import httpx

from deploy.local import LocalPortal
from gateway import edge
from gateway.asyncapi import document
from gateway.edge import MAX_HOT_KEY_BYTES, Edge
from gateway.settings import GatewaySettings
from libs.bus.feed import Feed
from libs.contracts.audit import ListEntries
from libs.contracts.envelope import Fact, Position, Stream
from libs.errors import NotCaughtUp
from libs.live import answers
from libs.live.answers import Answers
from libs.live.engine import Engine
from libs.live.versions import from_text
from tests.gateway.conftest import Tenant
from tests.portal import Person


async def test_an_answer_is_kept_for_nobody_when_a_request_names_two_callers(
    portal: LocalPortal, outsider: Person
) -> None:
    url = f"{portal.gateways[0]}/v1/me"
    async with httpx.AsyncClient(timeout=20) as http:
        for forged in ("", "Bearer somebody-else"):
            both = [("authorization", f"Bearer {outsider.token}"), ("authorization", forged)]
            await http.get(url, headers=both)
            answer = await http.get(url, headers=[("authorization", forged)])
            assert answer.status_code == 401, answer.text


async def test_a_made_up_version_keeps_a_member_waiting_and_does_not_show_what_is_there(
    portal: LocalPortal, victim: Tenant, outsider: Person
) -> None:
    made_up = {"mes-after": f"identity/org_{secrets.token_hex(12)}=7"}
    own = await victim.owner.call("GET", f"/v1/orgs/{victim.org}", headers=made_up)
    assert own.status_code == 503
    outside = await outsider.call("GET", f"/v1/orgs/{victim.org}", headers=made_up)
    absent = await outsider.call("GET", "/v1/orgs/not-there", headers=made_up)
    assert outside.status_code == absent.status_code == 503
    nothing_seen = {"mes-after": f"identity/org_{secrets.token_hex(12)}=0"}
    await victim.owner.call("GET", f"/v1/orgs/{victim.org}", 200, headers=nothing_seen)


class Heads:
    """An owner of one stream."""

    async def heads(self, service: str, orgs: tuple[str, ...]) -> dict[str, int]:
        return {org: 3 if org == "org_real" else 0 for org in orgs}


async def test_streams_that_clients_make_up_are_not_followed() -> None:
    engine = Engine(Heads(), followed_whole=frozenset({"identity"}))  # type: ignore[arg-type]
    for number in range(20):
        text = f"identity/org_{number}=1"
        try:
            await engine.reach(from_text(text), timeout=0.5)
        except NotCaughtUp:
            continue
        raise AssertionError(f"{text} was reached")
    await engine.reach(from_text("identity/org_zero=0"), timeout=0.5)
    assert engine.followed() == set()


async def test_a_feed_forgets_a_stream_that_never_was() -> None:
    async def apply(stream: Stream, facts: list[Fact]) -> None:
        raise AssertionError("there is nothing to apply")

    async def position(stream: Stream) -> int:
        return 0

    async def fill(stream: Stream, after: int, limit: int) -> list[Fact]:
        return []

    feed = Feed(apply, position, fill)
    try:
        await feed.reach(Position("registry", "org_made_up", 1), 0.2)
        raise AssertionError("reached what is not there")
    except NotCaughtUp:
        assert feed.streams() == []


def test_long_arguments_of_cached_answers_count_as_memory() -> None:
    known = Answers()
    for number in range(2_048):
        known.of(ListEntries(org="org_1", trace=f"{number:>60000}"))
    held = sum(len(str(answer.named.args)) for answer in known._by_key.values())
    assert len(known) < 2_048
    assert held < 2 * answers.MAX_BYTES


class Nobody:
    """As much of a portal as the edge looks at before it passes a request on."""

    settings = GatewaySettings.model_construct()


def a_scope(path: str, query: bytes = b"", *headers: tuple[bytes, bytes]) -> dict[str, object]:
    return {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": list(headers)}


def test_the_short_way_remembers_no_long_address() -> None:
    at_the_edge = Edge(None, Nobody())  # type: ignore[arg-type]
    assert at_the_edge._hot_key(a_scope("/v1/orgs", b"a=1"), "GET", {})
    assert at_the_edge._hot_key(a_scope("/v1/orgs", b"a=" + b"1" * MAX_HOT_KEY_BYTES), "GET", {}) is None
    long = b"Bearer " + b" " * MAX_HOT_KEY_BYTES + b"token"
    assert at_the_edge._hot_key(a_scope("/v1/orgs"), "GET", {b"authorization": long}) is None


def test_the_description_of_the_bus_is_made_once() -> None:
    assert document() is document()


async def test_open_streams_are_bounded_apart_from_requests() -> None:
    asked: list[str] = []
    at_the_edge = Edge(None, Nobody())  # type: ignore[arg-type]

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        asked.append(str(scope["path"]))

    at_the_edge._app = app  # type: ignore[assignment]
    at_the_edge._streams = edge.MAX_STREAMS
    said: list[int] = []

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            said.append(int(str(message["status"])))

    await at_the_edge._limited(a_scope("/discovery/o/e/events"), None, send, {})  # type: ignore[arg-type]
    assert said == [503]
    assert asked == []
    await at_the_edge._limited(a_scope("/v1/me"), None, send, {})  # type: ignore[arg-type]
    assert asked == ["/v1/me"]
    assert at_the_edge._streams == edge.MAX_STREAMS
