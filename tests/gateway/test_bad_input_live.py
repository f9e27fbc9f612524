"""Frames and queries that the live socket cannot take: answered, and the socket stays usable (G9)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from deploy.local import LocalPortal
from gateway.routes.live import MAX_MALFORMED, POLICY
from tests.portal import Person


async def said(socket: ClientConnection) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = json.loads(await socket.recv())
        if found["type"] != "ping":
            return found


async def connected(socket: ClientConnection, person: Person) -> None:
    await socket.send(json.dumps({"type": "connect", "token": person.token}))
    assert (await said(socket))["type"] == "connected"


NONSENSE: list[str | bytes] = [
    "nonsense",
    "[]",
    "null",
    "1",
    "",
    "[" * 5000,
    "{}",
    '{"type":"nonsense"}',
    '{"type":["subscribe"]}',
    '{"type":"connect"}',
    '{"type":"subscribe"}',
    '{"type":"subscribe","id":"a","query":"registry.list_apps","args":[]}',
    b"\x00\x01",
    b'{"type":"pong"}',
]


@pytest.mark.parametrize("frame", NONSENSE)
async def test_a_malformed_frame_is_answered_and_the_socket_stays_usable(
    portal: LocalPortal, owner: Person, frame: str | bytes
) -> None:
    async with connect(portal.url.replace("http", "ws") + "/v1/live") as socket:
        await connected(socket, owner)
        await socket.send(frame)
        refused = await said(socket)
        assert refused["type"] == "error"
        assert refused["error"]["code"] == "malformed_frame"
        assert refused["error"]["status"] == 400
        await socket.send('{"type":"subscribe","id":"me","query":"identity.get_me","args":{}}')
        assert (await said(socket))["set"][0]["value"]["id"] == owner.id


@pytest.mark.parametrize(
    ("query", "args", "code"),
    [
        ("registry.nothing", {}, "unknown_query"),
        ("", {}, "unknown_query"),
        ("registry.create_app", {"slug": "a", "name": "A", "kind": "host"}, "unknown_query"),
        ("identity.list_directory", {}, "unknown_query"),
        ("identity.get_keys", {}, "unknown_query"),
        ("registry.get_files", {}, "unknown_query"),
        ("registry.read_events", {}, "unknown_query"),
        ("registry.list_apps", {"limit": 0}, "malformed_message"),
        ("registry.list_apps", {"limit": "many"}, "malformed_message"),
        ("registry.list_apps", {"unknown": 1}, "malformed_message"),
        ("registry.get_app", {}, "malformed_message"),
        ("registry.get_app", {"app": {"$ne": ""}}, "malformed_message"),
        ("registry.get_app", {"app": "none-such"}, "app_not_found"),
        ("registry.list_versions", {"app": "none-such"}, "app_not_found"),
    ],
)
async def test_a_query_that_cannot_be_asked_is_refused_under_its_id(
    portal: LocalPortal, owner: Person, query: str, args: dict[str, Any], code: str
) -> None:
    args = {"org": owner.orgs[0], **args}
    async with connect(portal.url.replace("http", "ws") + "/v1/live") as socket:
        await connected(socket, owner)
        await socket.send(json.dumps({"type": "subscribe", "id": "q", "query": query, "args": args}))
        (item,) = (await said(socket))["set"]
        assert item["id"] == "q"
        assert item["error"]["code"] == code
        await socket.send('{"type":"subscribe","id":"me","query":"identity.get_me","args":{}}')
        assert (await said(socket))["set"][0]["value"]["id"] == owner.id


async def test_nonsense_again_and_again_ends_the_connection(portal: LocalPortal, owner: Person) -> None:
    async with connect(portal.url.replace("http", "ws") + "/v1/live") as socket:
        await connected(socket, owner)
        for _ in range(MAX_MALFORMED):
            await socket.send("nonsense")
            assert (await said(socket))["type"] == "error"
        with pytest.raises(ConnectionClosed) as closed:
            await said(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == POLICY


@pytest.mark.parametrize("first", ["nonsense", '{"type":"subscribe"}', b"\x00", "[]"])
async def test_a_connection_that_begins_with_something_else_is_ended(
    portal: LocalPortal, first: str | bytes
) -> None:
    async with connect(portal.url.replace("http", "ws") + "/v1/live") as socket:
        await socket.send(first)
        assert (await said(socket))["error"]["code"] == "malformed_frame"
        with pytest.raises(ConnectionClosed) as closed:
            await said(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == POLICY


async def test_too_many_subscriptions_are_refused_one_by_one(portal: LocalPortal, owner: Person) -> None:
    async with connect(portal.url.replace("http", "ws") + "/v1/live") as socket:
        await connected(socket, owner)
        for number in range(201):
            await socket.send(
                json.dumps({"type": "subscribe", "id": f"{number}", "query": "identity.get_me", "args": {}})
            )
        seen: dict[str, dict[str, Any]] = {}
        while len(seen) < 201:
            seen |= {item["id"]: item for item in (await said(socket))["set"]}
    assert seen["200"]["error"]["status"] == 429
    assert sum("value" in item for item in seen.values()) == 200
