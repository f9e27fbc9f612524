"""Roles of one's own, teams, assignments, service accounts and their keys, through the front door."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from deploy.local import LocalPortal
from tests.portal import Person, a_slug, somebody


@dataclass
class Company:
    """An organization with its owner, an admin, and somebody who is merely a member."""

    slug: str
    owner: Person
    admin: Person
    member: Person
    app: str
    gateways: list[str]

    @property
    def below(self) -> str:
        return f"/v1/orgs/{self.slug}"

    async def define(self, by: Person, role: str, *permissions: str, status: int = 201) -> httpx.Response:
        body = {"role": role, "name": role, "permissions": permissions}
        return await by.call("POST", f"{self.below}/roles", status, json=body)

    async def team(self, slug: str) -> str:
        made = await self.owner.call("POST", f"{self.below}/teams", 201, json={"slug": slug, "name": slug})
        return str(made.json()["id"])

    async def assign(
        self, by: Person, kind: str, subject: str, role: str, path: str = "", status: int = 201
    ) -> httpx.Response:
        resource = f"{self.slug}/{path}" if path else self.slug
        body = {"subject": {"type": kind, "id": subject}, "role": role, "resource": resource}
        return await by.call("POST", f"{self.below}/assignments", status, json=body)

    async def account(self) -> str:
        body = {"slug": a_slug("ci"), "name": "CI"}
        return str(
            (await self.owner.call("POST", f"{self.below}/service-accounts", 201, json=body)).json()["id"]
        )

    async def key(self, by: Person, account: str, status: int = 201, **body: Any) -> dict[str, Any]:
        keys = f"{self.below}/service-accounts/{account}/keys"
        made = await by.call("POST", keys, status, json={"name": "a key", **body})
        answer: dict[str, Any] = made.json()
        return answer

    def machine(self, key: str, gateway: int = 0) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.gateways[gateway], headers={"authorization": f"Bearer {key}"}, timeout=20
        )


@pytest.fixture
async def company(portal: LocalPortal) -> AsyncIterator[Company]:
    owner, admin, member = [await somebody(portal.gateways[0]) for _ in range(3)]
    org = await owner.make_org()
    app = await owner.make_app(org)
    await owner.invite(org, admin, "admin")
    await owner.invite(org, member, "member")
    yield Company(org, owner, admin, member, app, portal.gateways)
    for person in (owner, admin, member):
        await person.http.aclose()


def code(response: httpx.Response) -> str:
    return str(response.json()["code"])


async def test_a_member_sees_the_applications_of_its_team_and_no_others(company: Company) -> None:
    other = await company.owner.make_app(company.slug)
    team = await company.team("checkout")
    await company.assign(company.owner, "team", team, "viewer", company.app)
    apps = f"{company.below}/apps"
    assert (await company.member.call("GET", apps, 200)).json()["items"] == []
    added = f"{company.below}/teams/checkout/members/{company.member.id}"
    await company.owner.call("PUT", added, 200)
    (seen,) = (await company.member.call("GET", apps, 200)).json()["items"]
    assert seen["slug"] == company.app
    await company.member.call("GET", f"{apps}/{company.app}", 200)
    await company.member.call("GET", f"{apps}/{other}", 403)
    await company.owner.call("DELETE", added, 204)
    assert (await company.member.call("GET", apps, 200)).json()["items"] == []


async def test_a_role_of_ones_own_allows_what_it_says_where_it_is_held(company: Company) -> None:
    await company.define(company.admin, "namer", "app:read", "app:update")
    await company.assign(company.admin, "user", company.member.id, "namer", company.app)
    path = f"{company.below}/apps/{company.app}"
    await company.member.call("PATCH", path, 200, json={"name": "Renamed"})
    await company.member.call("GET", f"{path}/versions", 403)
    # What the role allows from now on, its holders may from now on.
    roles = f"{company.below}/roles/namer"
    changed = await company.admin.call(
        "PATCH", roles, 200, json={"permissions": ["app:read", "version:read"]}
    )
    await company.member.call("GET", f"{path}/versions", 200)
    await company.member.call("PATCH", path, 403, json={"name": "Again"})
    stale = await company.admin.call("PATCH", roles, 412, json={"name": "x"}, headers={"if-match": '"r1"'})
    assert code(stale) == "stale_revision"
    fresh = {"if-match": changed.headers["etag"]}
    await company.admin.call("PATCH", roles, 200, json={"name": "x"}, headers=fresh)


async def test_a_role_that_is_held_is_not_deleted(company: Company) -> None:
    await company.define(company.owner, "held", "app:read")
    made = await company.assign(company.owner, "user", company.member.id, "held", company.app)
    role = f"{company.below}/roles/held"
    assert code(await company.owner.call("DELETE", role, 409)) == "role_in_use"
    await company.owner.call("DELETE", f"{company.below}/assignments/{made.json()['id']}", 204)
    member = f"{company.below}/members/{company.member.id}"
    await company.owner.call("PUT", member, 200, json={"role": "held"})
    assert code(await company.owner.call("DELETE", role, 409)) == "role_in_use"
    await company.owner.call("PUT", member, 200, json={"role": "member"})
    await company.owner.call("DELETE", role, 204)
    assert code(await company.assign(company.owner, "user", company.member.id, "held", status=404)) == (
        "role_not_found"
    )


async def test_roles_are_refused_for_clear_reasons(company: Company) -> None:
    owner, roles = company.owner, f"{company.below}/roles"
    assert code(await company.define(owner, "viewer", "app:read", status=409)) == "role_exists"
    assert code(await company.define(owner, "operator", "app:read", status=409)) == "role_exists"
    for permission in ("dead:read", "platform:read", "no:such"):
        assert code(await company.define(owner, "odd", permission, status=422)) == "permission_unknown"
    assert code(await owner.call("PATCH", f"{roles}/admin", 409, json={"name": "x"})) == "role_is_built_in"
    assert code(await owner.call("DELETE", f"{roles}/member", 409)) == "role_is_built_in"
    assert code(await owner.call("DELETE", f"{roles}/nothing", 404)) == "role_not_found"
    refused = await company.assign(owner, "user", company.member.id, "owner", status=422)
    assert code(refused) == "owners_are_members"
    refused = await company.assign(owner, "team", "tea_0", "viewer", status=404)
    assert code(refused) == "subject_not_found"


async def test_nobody_gives_what_they_do_not_hold_by_any_door(company: Company) -> None:
    """The admin holds everything but what an owner alone may; a keeper of access holds very little."""
    below, admin = company.below, company.admin
    await company.define(company.owner, "boss", "org:delete")
    team = await company.team("bosses")
    await company.assign(company.owner, "team", team, "boss")
    account = await company.account()
    await company.assign(company.owner, "service_account", account, "boss")
    suspended = await somebody(company.gateways[0])
    await company.owner.invite(company.slug, suspended, "boss")
    members = f"{below}/members"
    await company.owner.call("PUT", f"{members}/{suspended.id}", 200, json={"active": False})
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", f"{below}/roles", {"role": "mine", "name": "x", "permissions": ["org:delete"]}),
        ("PATCH", f"{below}/roles/boss", {"permissions": ["org:delete", "org:read"]}),
        (
            "POST",
            f"{below}/assignments",
            {"subject": {"type": "user", "id": admin.id}, "role": "boss", "resource": company.slug},
        ),
        ("PUT", f"{below}/teams/bosses/members/{admin.id}", {}),
        ("POST", f"{below}/service-accounts/{account}/keys", {"name": "mine"}),
        ("PUT", f"{members}/{admin.id}", {"role": "owner"}),
        ("PUT", f"{members}/{admin.id}", {"role": "boss"}),
        ("PUT", f"{members}/{suspended.id}", {"active": True}),
        ("POST", f"{below}/invitations", {"email": "x@example.org", "role": "boss"}),
    ]
    for method, path, body in attempts:
        answer = await admin.call(method, path, 403, json=body)
        assert code(answer) == "permission_missing"
        assert "org:delete" in answer.json()["detail"]
    # A key that can do less than the account is another matter.
    await company.key(admin, account, permissions=["app:read"])
    await suspended.http.aclose()


async def test_who_leaves_takes_nothing_along_and_begins_with_nothing(company: Company) -> None:
    team = await company.team("payments")
    await company.assign(company.owner, "team", team, "viewer", company.app)
    await company.owner.call("PUT", f"{company.below}/teams/payments/members/{company.member.id}", 200)
    await company.assign(company.owner, "user", company.member.id, "developer", company.app)
    await company.owner.call("DELETE", f"{company.below}/members/{company.member.id}", 204)
    await company.member.call("GET", f"{company.below}/apps", 404)
    await company.owner.invite(company.slug, company.member, "member")
    assert (await company.member.call("GET", f"{company.below}/apps", 200)).json()["items"] == []
    inside = (await company.owner.call("GET", f"{company.below}/teams/payments/members", 200)).json()
    assert inside["items"] == []
    left = (await company.owner.call("GET", f"{company.below}/assignments", 200)).json()["items"]
    assert [one["subject"]["id"] for one in left] == [team]


async def test_a_team_that_goes_takes_its_assignments_along(company: Company) -> None:
    team = await company.team("shortlived")
    await company.assign(company.owner, "team", team, "viewer", company.app)
    await company.owner.call("PUT", f"{company.below}/teams/shortlived/members/{company.member.id}", 200)
    await company.member.call("GET", f"{company.below}/apps/{company.app}", 200)
    await company.owner.call("DELETE", f"{company.below}/teams/shortlived", 204)
    await company.member.call("GET", f"{company.below}/apps/{company.app}", 403)
    assert (await company.owner.call("GET", f"{company.below}/assignments", 200)).json()["items"] == []


async def test_a_suspended_member_holds_nothing_until_it_is_active_again(company: Company) -> None:
    member = f"{company.below}/members/{company.member.id}"
    await company.owner.call("PUT", member, 200, json={"active": False})
    await company.member.call("GET", company.below, 404)
    listed = (await company.owner.call("GET", f"{company.below}/members", 200)).json()["items"]
    assert [one["active"] for one in listed if one["user"] == company.member.id] == [False]
    await company.owner.call("PUT", member, 200, json={"active": True})
    await company.member.call("GET", company.below, 200)


async def test_the_last_owner_is_neither_demoted_nor_suspended_nor_removed(company: Company) -> None:
    owner = f"{company.below}/members/{company.owner.id}"
    for body in ({"role": "admin"}, {"active": False}):
        assert code(await company.owner.call("PUT", owner, 409, json=body)) == "last_owner"
    assert code(await company.owner.call("DELETE", owner, 409)) == "last_owner"


async def test_two_owners_who_suspend_each_other_leave_one(company: Company) -> None:
    second = await somebody(company.gateways[1])
    await company.owner.invite(company.slug, second, "owner")
    path = f"{company.below}/members"
    answers = await asyncio.gather(
        company.owner.call("PUT", f"{path}/{second.id}", json={"active": False}),
        second.call("PUT", f"{path}/{company.owner.id}", json={"active": False}),
    )
    assert sorted(answer.status_code for answer in answers)[0] == 200
    left = [await person.call("GET", company.below) for person in (company.owner, second)]
    assert [answer.status_code for answer in left].count(200) == 1
    await second.http.aclose()


async def test_a_key_does_what_its_account_may_within_its_scope(company: Company) -> None:
    account = await company.account()
    await company.assign(company.owner, "service_account", account, "developer", company.app)
    other = await company.owner.make_app(company.slug)
    whole = await company.key(company.owner, account)
    reading = await company.key(
        company.owner, account, permissions=["app:read"], resource=f"{company.slug}/{company.app}"
    )
    assert whole["key"].startswith(whole["hint"])
    for gateway in range(2):
        async with company.machine(whole["key"], gateway) as ci:
            app = f"{company.below}/apps/{company.app}"
            assert (await ci.patch(app, json={"name": "By CI"})).status_code == 200
            assert (await ci.get(f"{company.below}/apps/{other}")).status_code == 403
            assert (await ci.get("/v1/orgs")).status_code == 200
        async with company.machine(reading["key"], gateway) as reader:
            assert (await reader.get(app)).json()["name"] == "By CI"
            assert (await reader.patch(app, json={"name": "No"})).status_code == 403
    entries = await company.owner.call("GET", f"{company.below}/audit/events", 200, params={"actor": account})
    names = {entry["actor_name"] for entry in entries.json()["items"]}
    assert names <= {"CI"}


async def test_a_key_that_is_revoked_expired_or_misread_opens_nothing(company: Company) -> None:
    account = await company.account()
    await company.assign(company.owner, "service_account", account, "viewer")
    keys = f"{company.below}/service-accounts/{account}/keys"
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    made, short = (
        await company.key(company.owner, account),
        await company.key(company.owner, account, expires_at=soon),
    )
    assert (await company.key(company.owner, account, 422, expires_at="2001-01-01T00:00:00Z"))["code"] == (
        "expiry_passed"
    )
    text = made["key"]
    wrong = text[:-1] + ("0" if text[-1] != "0" else "1")
    forged = "mesk_" + "".join(secrets.choice("0123456789abcdef") for _ in range(38))
    for bad in (wrong, forged, text + "x", text.swapcase().replace("MESK_", "mesk_"), text[:20], "mesk_"):
        async with company.machine(bad) as nobody:
            answer = await nobody.get(company.below)
            assert (answer.status_code, code(answer)) == (401, "key_invalid")
    async with company.machine(short["key"]) as ci:
        assert (await ci.get(company.below)).status_code == 200
        await asyncio.sleep(2.1)
        assert code(await ci.get(company.below)) == "key_invalid"
    async with company.machine(text) as ci:
        assert (await ci.get(company.below)).status_code == 200
        await company.owner.call("DELETE", f"{keys}/{made['id']}", 204)
        assert code(await ci.get(company.below)) == "key_invalid"
    listed = (await company.owner.call("GET", keys, 200)).json()["items"]
    assert [one["id"] for one in listed] == [short["id"]]
    assert "key" not in listed[0]
    assert "fingerprint" not in listed[0]


async def test_an_account_that_goes_takes_its_keys_along(company: Company) -> None:
    account = await company.account()
    await company.assign(company.owner, "service_account", account, "viewer")
    made = await company.key(company.owner, account)
    async with company.machine(made["key"]) as ci:
        assert (await ci.get(company.below)).status_code == 200
        await company.owner.call("DELETE", f"{company.below}/service-accounts/{account}", 204)
        assert code(await ci.get(company.below)) == "key_invalid"
    assert (await company.owner.call("GET", f"{company.below}/assignments", 200)).json()["items"] == []


async def test_a_key_of_one_organization_opens_no_other(company: Company) -> None:
    account = await company.account()
    await company.assign(company.owner, "service_account", account, "admin")
    made = await company.key(company.owner, account)
    elsewhere = await company.owner.make_org()
    async with company.machine(made["key"]) as ci:
        assert (await ci.get(company.below)).status_code == 200
        assert (await ci.get(f"/v1/orgs/{elsewhere}")).status_code == 404
        assert (await ci.post("/v1/orgs", json={"slug": a_slug(), "name": "Mine"})).status_code == 401


async def test_a_key_is_told_again_to_a_repeated_request_and_made_once(company: Company) -> None:
    account = await company.account()
    keys = f"{company.below}/service-accounts/{account}/keys"
    headers = {"idempotency-key": secrets.token_hex(8)}
    answers = [
        (await company.owner.call("POST", keys, 201, json={"name": "one"}, headers=headers)).json()
        for _ in range(3)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert len((await company.owner.call("GET", keys, 200)).json()["items"]) == 1


async def test_the_same_assignment_twice_is_one(company: Company) -> None:
    made = [
        (await company.assign(company.owner, "user", company.member.id, "viewer", company.app)).json()
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert len((await company.owner.call("GET", f"{company.below}/assignments", 200)).json()["items"]) == 1


async def test_who_rules_an_application_gives_roles_on_it_and_nowhere_else(company: Company) -> None:
    await company.assign(company.owner, "user", company.member.id, "admin", company.app)
    other = await company.owner.make_app(company.slug)
    theirs = await company.assign(company.owner, "user", company.admin.id, "viewer", other)
    await company.assign(company.member, "user", company.admin.id, "viewer", f"{company.app}/production")
    await company.assign(company.member, "user", company.admin.id, "viewer", other, status=403)
    await company.assign(company.member, "user", company.admin.id, "viewer", status=403)
    # Of what lies elsewhere they learn nothing.
    listed = (await company.member.call("GET", f"{company.below}/assignments", 200)).json()["items"]
    assert {one["path"] for one in listed} == {company.app, f"{company.app}/production"}
    gone = await company.member.call("DELETE", f"{company.below}/assignments/{theirs.json()['id']}", 404)
    assert code(gone) == "assignment_not_found"
