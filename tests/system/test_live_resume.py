"""Live connections that are lost, come back, or must not: over real sockets, at two gateways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from deploy.local import LocalPortal
from tests.portal import Person, a_slug, somebody
from tests.system.live import LiveClient, positions

Open = Callable[..., Awaitable[LiveClient]]


@pytest.fixture
async def owner(portal: LocalPortal) -> AsyncIterator[Person]:
    person = await somebody(portal.url)
    yield person
    await person.http.aclose()


@pytest.fixture
async def open_live(portal: LocalPortal) -> AsyncIterator[Open]:
    """Opens connections that are closed at the end."""
    opened: list[LiveClient] = []

    async def open_one(person: Person, gateway: int = 0, resume: LiveClient | None = None) -> LiveClient:
        opened.append(await LiveClient.open(portal.gateways[gateway], person.token, resume))
        return opened[-1]

    yield open_one
    for client in opened:
        await client.close()


async def _three_watched(client: LiveClient, org: str) -> None:
    await client.watch("apps", "registry.list_apps", org=org)
    await client.watch("environments", "deploy.list_environments", org=org)
    await client.watch("org", "identity.get_org", org=org)


async def test_a_resumed_connection_gets_what_changed_once_and_nothing_else(
    portal: LocalPortal, owner: Person, open_live: Open
) -> None:
    org = await owner.make_org()
    first = await open_live(owner)
    await _three_watched(first, org)
    first.cut()
    await owner.make_app(org, "orders")
    await owner.call("PATCH", f"/v1/orgs/{org}", 200, json={"name": "Another"})
    again = await open_live(owner, resume=first)
    assert (again.session, again.restarted) == (first.session, False)
    await again.until(lambda: {one["id"] for f in again.frames for one in f["set"]} == {"apps", "org"})
    assert again.frames[0]["from"] == first.version
    assert [app["slug"] for app in again.value("apps")["items"]] == ["orders"]
    assert again.value("org")["name"] == "Another"
    # Had there been more to come, it would have come before what happens now.
    await owner.make_app(org, "later")
    await again.until(lambda: len(again.value("apps")["items"]) == 2)
    told = [one["id"] for frame in again.frames for one in frame["set"]]
    assert sorted(told) == ["apps", "apps", "org"]


async def test_a_connection_that_missed_nothing_resumes_without_a_frame(
    portal: LocalPortal, owner: Person, open_live: Open
) -> None:
    org = await owner.make_org()
    first = await open_live(owner)
    await _three_watched(first, org)
    first.cut()
    again = await open_live(owner, resume=first)
    assert again.session == first.session
    await owner.make_app(org, "orders")
    await again.until(lambda: len(again.value("apps")["items"]) == 1)
    assert [[one["id"] for one in frame["set"]] for frame in again.frames] == [["apps"]]


async def test_at_another_gateway_a_client_starts_over_and_sees_nothing_older(
    portal: LocalPortal, owner: Person, open_live: Open
) -> None:
    org = await owner.make_org()
    for number in range(5):
        first = await open_live(owner, gateway=number % 2)
        await _three_watched(first, org)
        await owner.make_app(org, f"app-{number}")
        while len(first.value("apps")["items"]) <= number:
            await first.any_change(1.0)
        seen = positions(first.version)
        again = await open_live(owner, gateway=1 - number % 2, resume=first)
        assert again.restarted
        assert again.session != first.session
        # The client itself checks that no frame after the restart is older than what it had.
        await _three_watched(again, org)
        assert len(again.value("apps")["items"]) == number + 1
        now = positions(again.version)
        assert all(now[stream] >= sequence for stream, sequence in seen.items())


async def test_a_version_that_the_connection_never_had_starts_over(
    portal: LocalPortal, owner: Person, open_live: Open
) -> None:
    org = await owner.make_org()
    first = await open_live(owner)
    await _three_watched(first, org)
    first.cut()
    first.version = ""
    again = await open_live(owner, resume=first)
    assert again.restarted
    await _three_watched(again, org)


async def test_a_subscription_of_which_nothing_was_received_starts_over(
    portal: LocalPortal, owner: Person, open_live: Open
) -> None:
    """The client cannot have its value, so resuming would leave it without one."""
    org = await owner.make_org()
    first = await open_live(owner)
    await first.watch("apps", "registry.list_apps", org=org)
    had = first.version
    await first.watch("org", "identity.get_org", org=org)
    first.cut()
    first.version = had
    again = await open_live(owner, resume=first)
    assert again.restarted


async def test_a_new_socket_takes_over_from_one_that_still_seems_open(
    portal: LocalPortal, owner: Person, open_live: Open
) -> None:
    """A client may notice a broken line before the server does. No frame may go to the old one."""
    org = await owner.make_org()
    first = await open_live(owner)
    await _three_watched(first, org)
    again = await open_live(owner, resume=first)
    assert again.session == first.session
    await owner.make_app(org, "orders")
    await again.until(lambda: len(again.value("apps")["items"]) == 1)
    await first.until(lambda: first.closed is not None)
    assert first.closed == 1012
    assert len(first.value("apps")["items"]) == 0


async def test_another_user_cannot_resume_a_connection(
    portal: LocalPortal, owner: Person, open_live: Open
) -> None:
    org = await owner.make_org()
    first = await open_live(owner)
    await _three_watched(first, org)
    stranger = await somebody(portal.url)
    stolen = await open_live(stranger, resume=first)
    assert stolen.restarted
    assert stolen.session != first.session
    await owner.make_app(org, "orders")
    await first.until(lambda: len(first.value("apps")["items"]) == 1)
    assert stolen.frames == []
    await stranger.http.aclose()


async def test_a_session_that_ended_is_closed_and_does_not_resume(
    portal: LocalPortal, owner: Person, open_live: Open
) -> None:
    org = await owner.make_org()
    clients = [await open_live(owner, gateway=number) for number in range(2)]
    for client in clients:
        await _three_watched(client, org)
    await owner.call("DELETE", "/v1/sessions/current", 204)
    for client in clients:
        await client.until(lambda client=client: client.closed is not None)  # type: ignore[misc]
        assert client.closed == 4401
    for number, client in enumerate(clients):
        again = await open_live(owner, gateway=number, resume=client)
        await again.until(lambda again=again: again.closed is not None)  # type: ignore[misc]
        assert again.closed == 4401
        assert [error["code"] for error in again.errors] == ["session_over"]


async def test_a_removed_members_subscriptions_end_at_every_gateway_and_the_rest_goes_on(
    portal: LocalPortal, owner: Person, open_live: Open
) -> None:
    org, other = await owner.make_org(), await owner.make_org()
    member = await somebody(portal.url)
    for slug in (org, other):
        await owner.invite(slug, member, "viewer")
    clients = [await open_live(member, gateway=number) for number in range(2)]
    for client in clients:
        await _three_watched(client, org)
        await client.watch("others", "registry.list_apps", org=other)
    await owner.call("DELETE", f"/v1/orgs/{org}/members/{member.id}", 204)
    await owner.make_app(org, "secret")
    await owner.make_app(other, "shared")
    for client in clients:
        await client.until(lambda client=client: len(client.value("others")["items"]) == 1)  # type: ignore[misc]
        await client.until(
            lambda client=client: all("error" in client.answers[n] for n in ("apps", "environments", "org"))  # type: ignore[misc]
        )
        assert client.answers["apps"]["error"]["code"] == "organization_not_found"
        assert "secret" not in str(client.frames)
    await member.http.aclose()


async def test_a_subscription_that_ended_while_the_client_was_away_makes_it_start_over(
    portal: LocalPortal, owner: Person, open_live: Open
) -> None:
    org = await owner.make_org()
    member = await somebody(portal.url)
    await owner.invite(org, member, "admin")
    first = await open_live(member)
    await _three_watched(first, org)
    await first.watch("invitations", "identity.list_invitations", org=org)
    first.cut()
    await owner.call("PUT", f"/v1/orgs/{org}/members/{member.id}", 200, json={"role": "viewer"})
    again = await open_live(member, resume=first)
    assert again.restarted
    await again.subscribe("invitations", "identity.list_invitations", org=org)
    await again.until(lambda: "invitations" in again.answers)
    assert again.answers["invitations"]["error"]["code"] == "permission_missing"
    await member.http.aclose()


async def test_a_refused_subscription_leaves_nothing_under_its_name(
    portal: LocalPortal, owner: Person, open_live: Open
) -> None:
    org = await owner.make_org()
    client = await open_live(owner)
    await client.watch("it", "registry.list_apps", org=org)
    await client.watch("org", "identity.get_org", org=org)
    before = len(client.frames)
    await client.subscribe("it", "registry.list_apps", org=a_slug("nobody"))
    await client.until(lambda: "error" in client.answers["it"])
    assert client.frames[before]["from"] == client.frames[before]["to"]
    await owner.make_app(org, "orders")
    await owner.call("PATCH", f"/v1/orgs/{org}", 200, json={"name": "Another"})
    await client.until(lambda: client.value("org")["name"] == "Another")
    assert "error" in client.answers["it"]
