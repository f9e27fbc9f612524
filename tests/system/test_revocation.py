"""Whoever loses a right loses it at every gateway at once, requests under way and subscriptions open (G7).

How long that takes is printed; the bench measures it over many removals.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.local import LocalPortal
from tests.portal import Person, somebody
from tests.revocation import keep_changing, watch_removal

Remove = Callable[[], Awaitable[Any]]


@dataclass
class Scene:
    """An organization with an application that is always changing."""

    portal: LocalPortal
    owner: Person
    org: str
    app: str

    @property
    def below(self) -> str:
        return f"/v1/orgs/{self.org}"

    async def joined(self, role: str) -> Person:
        person = await somebody(self.portal.gateways[0])
        await self.owner.invite(self.org, person, role)
        return person

    async def assigned(self, kind: str, subject: str) -> str:
        body = {
            "subject": {"type": kind, "id": subject},
            "role": "viewer",
            "resource": f"{self.org}/{self.app}",
        }
        made = await self.owner.call("POST", f"{self.below}/assignments", 201, json=body)
        return f"{self.below}/assignments/{made.json()['id']}"

    def deletes(self, path: str) -> Remove:
        return lambda: self.owner.call("DELETE", path, 204)


@pytest.fixture
async def scene(portal: LocalPortal) -> AsyncIterator[Scene]:
    owner = await somebody(portal.gateways[0])
    org = await owner.make_org()
    app = await owner.make_app(org)
    path = f"/v1/orgs/{org}/apps/{app}"
    changing = asyncio.create_task(
        keep_changing(lambda number: owner.call("PATCH", path, 200, json={"name": f"Name {number}"}))
    )
    yield Scene(portal, owner, org, app)
    changing.cancel()
    await changing
    await owner.http.aclose()


async def a_member_is_removed(scene: Scene) -> tuple[str, Remove]:
    person = await scene.joined("viewer")
    return person.token, scene.deletes(f"{scene.below}/members/{person.id}")


async def a_member_is_suspended(scene: Scene) -> tuple[str, Remove]:
    person = await scene.joined("viewer")
    path = f"{scene.below}/members/{person.id}"
    return person.token, lambda: scene.owner.call("PUT", path, 200, json={"active": False})


async def a_role_loses_its_permission(scene: Scene) -> tuple[str, Remove]:
    body = {"role": "reader", "name": "Reader", "permissions": ["app:read", "version:read"]}
    await scene.owner.call("POST", f"{scene.below}/roles", 201, json=body)
    person = await scene.joined("reader")
    path = f"{scene.below}/roles/reader"
    body = {"permissions": ["org:update"]}
    return person.token, lambda: scene.owner.call("PATCH", path, 200, json=body)


async def an_assignment_is_removed(scene: Scene) -> tuple[str, Remove]:
    person = await scene.joined("member")
    return person.token, scene.deletes(await scene.assigned("user", person.id))


async def a_team_loses_somebody(scene: Scene) -> tuple[str, Remove]:
    person, teams = await scene.joined("member"), f"{scene.below}/teams"
    team = (await scene.owner.call("POST", teams, 201, json={"slug": "team", "name": "Team"})).json()
    await scene.assigned("team", team["id"])
    inside = f"{teams}/team/members/{person.id}"
    await scene.owner.call("PUT", inside, 200)
    return person.token, scene.deletes(inside)


async def a_session_ends(scene: Scene) -> tuple[str, Remove]:
    person = await scene.joined("viewer")
    return person.token, lambda: person.call("DELETE", "/v1/sessions/current", 204)


async def a_key_is_revoked(scene: Scene) -> tuple[str, Remove]:
    body: dict[str, Any] = {"slug": "ci", "name": "CI"}
    account = (await scene.owner.call("POST", f"{scene.below}/service-accounts", 201, json=body)).json()["id"]
    await scene.assigned("service_account", account)
    keys = f"{scene.below}/service-accounts/{account}/keys"
    key = (await scene.owner.call("POST", keys, 201, json={"name": "key"})).json()
    return key["key"], scene.deletes(f"{keys}/{key['id']}")


async def a_service_account_is_deleted(scene: Scene) -> tuple[str, Remove]:
    key, _ = await a_key_is_revoked(scene)
    accounts = (await scene.owner.call("GET", f"{scene.below}/service-accounts", 200)).json()["items"]
    return key, scene.deletes(f"{scene.below}/service-accounts/{accounts[-1]['id']}")


async def an_organization_is_deleted(scene: Scene) -> tuple[str, Remove]:
    other = await scene.owner.make_org()
    person = await somebody(scene.portal.gateways[0])
    await scene.owner.invite(other, person, "viewer")
    scene.org, scene.app = other, await scene.owner.make_app(other)
    return person.token, scene.deletes(f"/v1/orgs/{other}")


@pytest.mark.parametrize(
    "case",
    [
        a_member_is_removed,
        a_member_is_suspended,
        a_role_loses_its_permission,
        an_assignment_is_removed,
        a_team_loses_somebody,
        a_session_ends,
        a_key_is_revoked,
        a_service_account_is_deleted,
        an_organization_is_deleted,
    ],
    ids=lambda case: case.__name__,
)
async def test_nothing_is_read_any_more_once(
    scene: Scene, case: Callable[[Scene], Awaitable[tuple[str, Remove]]]
) -> None:
    token, remove = await case(scene)
    seen = await watch_removal(scene.portal.gateways, token, scene.org, scene.app, remove)
    assert seen.subscriptions == 200
    print(f"\n{case.__name__}: last successful read {seen.seconds * 1000:.1f} ms after the removal's answer")


async def test_what_is_remembered_of_identical_requests_opens_nothing_either(portal: LocalPortal) -> None:
    """Nothing changes here but the right, so the same answer could be given again."""
    owner, person = [await somebody(portal.gateways[0]) for _ in range(2)]
    org = await owner.make_org()
    app = await owner.make_app(org)
    await owner.invite(org, person, "viewer")
    addresses = [f"{gateway}/v1/orgs/{org}/apps/{app}" for gateway in portal.gateways]
    seen = {"mes-after": (await owner.call("GET", addresses[0], 200)).headers["mes-version"]}
    for address in addresses:
        for headers in (seen, {}, {}, {}):
            await person.call("GET", address, 200, headers=headers)
    removed = await owner.call("DELETE", f"/v1/orgs/{org}/members/{person.id}", 204)
    for address in addresses:
        # The one that did not take the command hears of it before it answers this.
        await person.call("GET", address, 404, headers={"mes-after": removed.headers["mes-version"]})
        await person.call("GET", address, 404)
    for one in (owner, person):
        await one.http.aclose()
