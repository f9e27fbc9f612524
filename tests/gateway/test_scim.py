"""SCIM 2.0 against the running portal: the public tester, what Entra ID and Okta really send, and attacks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import httpx2
import pytest
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

from deploy.local import LocalPortal
from tests.portal import Person, somebody

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
MANY = [{"value": f"usr_{number}"} for number in range(10_001)]
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass
class Company:
    """An organization, and whoever provisions it: a service account with a key."""

    portal: LocalPortal
    owner: Person
    org: str
    key: str
    http: httpx.AsyncClient

    async def call(self, method: str, path: str, status: int, body: Any = None, **more: Any) -> Any:
        answer = await self.http.request(method, path, json=body, **more)
        assert answer.status_code == status, f"{answer.status_code}: {answer.text[:500]}"
        return answer.json() if answer.content else None

    async def user(self, user_name: str, **more: Any) -> dict[str, Any]:
        body = {"schemas": [USER], "userName": user_name, **more}
        made: dict[str, Any] = await self.call("POST", "/Users", 201, body)
        return made

    async def group(self, name: str, *members: str) -> dict[str, Any]:
        body = {"schemas": [GROUP], "displayName": name, "members": [{"value": one} for one in members]}
        made: dict[str, Any] = await self.call("POST", "/Groups", 201, body)
        return made

    async def patch(self, path: str, *operations: dict[str, Any], status: int = 200) -> Any:
        return await self.call("PATCH", path, status, {"schemas": [PATCH], "Operations": list(operations)})


async def a_company(portal: LocalPortal, role: str = "admin") -> Company:
    owner = await somebody(portal.gateways[0])
    org = await owner.make_org()
    below = f"/v1/orgs/{org}"
    account = await owner.call("POST", f"{below}/service-accounts", 201, json={"slug": "idp", "name": "IdP"})
    subject = {"type": "service_account", "id": account.json()["id"]}
    body = {"subject": subject, "role": role, "resource": org}
    await owner.call("POST", f"{below}/assignments", 201, json=body)
    keys = f"{below}/service-accounts/{subject['id']}/keys"
    key = (await owner.call("POST", keys, 201, json={"name": "scim"})).json()["key"]
    base = f"{portal.gateways[0]}/scim/v2/{org}"
    http = httpx.AsyncClient(base_url=base, headers={"authorization": f"Bearer {key}"}, timeout=30)
    return Company(portal, owner, org, key, http)


@pytest.fixture(scope="module")
async def company(portal: LocalPortal) -> AsyncIterator[Company]:
    made = await a_company(portal)
    yield made
    await made.http.aclose()
    await made.owner.http.aclose()


async def test_the_public_tester_finds_nothing_wrong(company: Company) -> None:
    def check() -> list[Any]:
        base = f"{company.portal.gateways[0]}/scim/v2/{company.org}"
        headers = {"authorization": f"Bearer {company.key}"}
        with httpx2.Client(base_url=base, headers=headers, timeout=30) as http:
            return list(check_server(SyncSCIMClient(http)))

    results = await asyncio.to_thread(check)
    counts = Counter(result.status.name for result in results)
    print(f"\nscim2-tester: {dict(counts)}")
    wrong = [
        f"{result.title} {result.resource_type}: {result.status.name} {result.reason}"
        for result in results
        if result.status not in (Status.SUCCESS, Status.SKIPPED)
    ]
    assert not wrong, "\n".join(wrong)
    assert counts["SUCCESS"] > 100


async def test_as_entra_id_does_it(company: Company) -> None:
    nobody = await company.call("GET", "/Users", 200, params={"filter": 'userName eq "ada@corp.example.org"'})
    assert nobody["totalResults"] == 0
    ada = await company.user(
        "ada@corp.example.org",
        externalId="ada",
        active=True,
        displayName="Ada Lovelace",
        emails=[{"primary": True, "type": "work", "value": "ada@corp.example.org"}],
        name={"givenName": "Ada", "familyName": "Lovelace", "formatted": "Ada Lovelace"},
    )
    found = await company.call("GET", "/Users", 200, params={"filter": 'externalId eq "ada"'})
    assert [one["id"] for one in found["Resources"]] == [ada["id"]]
    # Booleans as text, and paths with a filter that nothing matches yet.
    path = f"/Users/{ada['id']}"
    changed = await company.patch(
        path,
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "countess@corp.example.org"},
        {"op": "Add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "+44 20 1"},
        {"op": "Replace", "path": "displayName", "value": "Countess"},
    )
    assert changed["emails"][0]["value"] == "countess@corp.example.org"
    assert changed["phoneNumbers"][0]["type"] == "mobile"
    off = await company.patch(path, {"op": "Replace", "path": "active", "value": "False"})
    assert off["active"] is False
    members = (await company.owner.call("GET", f"/v1/orgs/{company.org}/members?limit=200", 200)).json()
    (member,) = [one for one in members["items"] if one["user"] == ada["id"]]
    assert (member["active"], member["name"]) == (False, "Countess")
    on = await company.patch(path, {"op": "Replace", "value": {"active": "True"}})
    assert on["active"] is True
    # Groups: add and remove members, by value and by filter; without members where they are not wanted.
    group = await company.group("Ärzte & Co")
    at = f"/Groups/{group['id']}"
    await company.patch(at, {"op": "Add", "path": "members", "value": [{"value": ada["id"]}]})
    whole = await company.call("GET", at, 200)
    assert [one["value"] for one in whole["members"]] == [ada["id"]]
    lean = await company.call("GET", at, 200, params={"excludedAttributes": "members"})
    assert "members" not in lean
    assert (await company.call("GET", path, 200))["groups"][0]["display"] == "Ärzte & Co"
    await company.patch(at, {"op": "Remove", "path": "members", "value": [{"value": ada["id"]}]})
    assert "members" not in await company.call("GET", at, 200)
    await company.call("DELETE", at, 204)
    await company.call("DELETE", path, 204)
    await company.call("GET", path, 404)


async def test_as_okta_does_it(company: Company) -> None:
    grace = await company.user("grace@corp.example.org", name={"givenName": "Grace", "familyName": "Hopper"})
    path = f"/Users/{grace['id']}"
    whole = {**grace, "name": {"givenName": "Grace B.", "familyName": "Hopper"}, "active": True}
    replaced = await company.call("PUT", path, 200, whole)
    assert replaced["name"]["givenName"] == "Grace B."
    off = await company.patch(path, {"op": "replace", "value": {"active": False}})
    assert off["active"] is False
    group = await company.group("Navy", grace["id"])
    at = f"/Groups/{group['id']}"
    await company.patch(at, {"op": "remove", "path": f'members[value eq "{grace["id"]}"]'})
    renamed = await company.patch(
        at, {"op": "replace", "value": {"id": group["id"], "displayName": "Navy 2"}}
    )
    assert renamed["displayName"] == "Navy 2"
    assert "members" not in renamed
    listed = await company.call("GET", "/Groups", 200, params={"filter": 'displayName eq "navy 2"'})
    assert [one["id"] for one in listed["Resources"]] == [group["id"]]


async def test_groups_are_teams_and_give_what_teams_are_assigned(
    portal: LocalPortal, company: Company
) -> None:
    app = await company.owner.make_app(company.org)
    linus = await company.user("linus")
    group = await company.group("Kernel", linus["id"])
    subject = {"type": "team", "id": group["id"]}
    body = {"subject": subject, "role": "viewer", "resource": f"{company.org}/{app}"}
    await company.owner.call("POST", f"/v1/orgs/{company.org}/assignments", 201, json=body)
    asked = {
        "subject": {"type": "user", "id": linus["id"]},
        "action": {"name": "app:read"},
        "resource": {"type": "application", "id": f"{company.org}/{app}"},
    }
    decided = await company.owner.call("POST", "/access/v1/evaluation", 200, json=asked)
    assert decided.json()["decision"] is True
    await company.patch(f"/Users/{linus['id']}", {"op": "replace", "path": "active", "value": False})
    decided = await company.owner.call("POST", "/access/v1/evaluation", 200, json=asked)
    assert decided.json()["decision"] is False


async def test_lists_are_complete_whatever_the_page(company: Company) -> None:
    made = [await company.user(f"page-{number:02d}") for number in range(7)]
    everybody = (await company.call("GET", "/Users", 200, params={"count": 1000}))["Resources"]
    assert {one["id"] for one in made} <= {one["id"] for one in everybody}
    walked: list[str] = []
    while len(walked) < len(everybody):
        page = await company.call("GET", "/Users", 200, params={"startIndex": len(walked) + 1, "count": 3})
        assert page["totalResults"] == len(everybody)
        walked += [one["id"] for one in page["Resources"]]
    assert walked == [one["id"] for one in everybody]
    found = await company.call(
        "GET", "/Users", 200, params={"filter": 'userName sw "PAGE-0" and not (userName eq "page-03")'}
    )
    assert sorted(one["userName"] for one in found["Resources"]) == [
        f"page-{number:02d}" for number in range(7) if number != 3
    ]
    counted = await company.call("GET", "/Users", 200, params={"filter": 'userName sw "page-"', "count": 0})
    assert (counted["totalResults"], counted.get("Resources")) == (7, None)


async def test_people_with_an_account_of_their_own_are_only_switched_off_and_on(company: Company) -> None:
    person = await somebody(company.portal.gateways[0])
    await company.owner.invite(company.org, person, "viewer")
    found = await company.call("GET", "/Users", 200, params={"filter": f'userName eq "{person.email}"'})
    (seen,) = found["Resources"]
    assert seen["id"] == person.id
    path = f"/Users/{person.id}"
    refused = await company.patch(path, {"op": "replace", "path": "displayName", "value": "X"}, status=400)
    assert refused["scimType"] == "mutability"
    await company.patch(path, {"op": "replace", "path": "active", "value": False})
    await person.call("GET", f"/v1/orgs/{company.org}", 404)
    await company.patch(path, {"op": "replace", "path": "active", "value": True})
    await person.call("GET", f"/v1/orgs/{company.org}", 200)
    taken = await company.call("POST", "/Users", 409, {"schemas": [USER], "userName": person.email.upper()})
    assert taken["scimType"] == "uniqueness"
    await person.http.aclose()


async def test_the_last_owner_stays(company: Company) -> None:
    path = f"/Users/{company.owner.id}"
    # An admin's key touches no owner; an owner's would not remove the last.
    assert (await company.http.delete(path)).status_code == 403
    refused = await company.patch(path, {"op": "replace", "path": "active", "value": False}, status=403)
    assert "owner:update" in refused["detail"]


async def test_nothing_is_allowed_because_it_comes_by_scim(portal: LocalPortal) -> None:
    weak = await a_company(portal, "viewer")
    await weak.call("POST", "/Users", 403, {"schemas": [USER], "userName": "x"})
    await weak.call("GET", "/Users", 200)
    keeper = await a_company(portal, "admin")
    app = await keeper.owner.make_app(keeper.org)
    below = f"/v1/orgs/{keeper.org}"
    role = {"role": "boss", "name": "Boss", "permissions": ["org:delete"]}
    await keeper.owner.call("POST", f"{below}/roles", 201, json=role)
    group = await keeper.group("Bosses")
    body = {"subject": {"type": "team", "id": group["id"]}, "role": "boss", "resource": f"{keeper.org}/{app}"}
    await keeper.owner.call("POST", f"{below}/assignments", 201, json=body)
    user = await keeper.user("climber")
    refused = await keeper.patch(
        f"/Groups/{group['id']}",
        {"op": "add", "path": "members", "value": [{"value": user["id"]}]},
        status=403,
    )
    assert "org:delete" in refused["detail"]
    for one in (weak, keeper):
        await one.http.aclose()
        await one.owner.http.aclose()


async def test_another_organizations_key_sees_nothing(portal: LocalPortal, company: Company) -> None:
    other = await a_company(portal)
    for path in ("/Users", "/Groups", "/Schemas"):
        theirs = await other.http.get(f"{portal.gateways[1]}/scim/v2/{company.org}{path}")
        nobodys = await other.http.get(f"{portal.gateways[1]}/scim/v2/none-at-all{path}")
        assert (theirs.status_code, nobodys.status_code) == (404, 404)
        assert theirs.text.replace(company.org, "-") == nobodys.text.replace("none-at-all", "-")
    await other.http.aclose()
    await other.owner.http.aclose()


FILTERS = {
    "nonsense": "userName",
    "an unknown operator": 'userName like "x"',
    "an open quote": 'userName eq "x',
    "an open parenthesis": '(userName eq "x"',
    "endless": 'userName eq "x" or ' * 200 + 'userName eq "x"',
    "endlessly deep": "(" * 1_900 + 'userName eq "x"' + ")" * 1_900,
    "a document instead of a value": 'userName eq {"$ne": null}',
}


@pytest.mark.parametrize("case", FILTERS)
async def test_odd_filters_are_refused(company: Company, case: str) -> None:
    answer = await company.call("GET", "/Users", 400, params={"filter": FILTERS[case]})
    assert answer["scimType"] == "invalidFilter"


async def test_a_filter_may_be_deep_or_name_what_nobody_has(company: Company) -> None:
    deep = "(" * 300 + 'userName eq "nobody"' + ")" * 300
    for asked in (deep, 'shoeSize eq "9"'):
        found = await company.call("GET", "/Users", 200, params={"filter": asked})
        assert found["totalResults"] == 0


@pytest.mark.parametrize(
    "value", ['x" or userName pr or userName eq "x', ".*", "$ne", "x' || '1'=='1", "\\u0000"]
)
async def test_values_of_filters_are_values(company: Company, value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    found = await company.call("GET", "/Users", 200, params={"filter": f'userName eq "{quoted}"'})
    assert found["totalResults"] == 0


async def test_what_gives_rights_does_not_come_by_this_way(company: Company) -> None:
    rights = {"roles": [{"value": "owner"}], "password": "x", "entitlements": [{"value": "*"}]}
    made = await company.user("mallory", **rights)
    assert not rights.keys() & made.keys()
    path = f"/Users/{made['id']}"
    await company.patch(path, {"op": "add", "path": "roles", "value": [{"value": "owner"}]}, status=200)
    for value in ({"id": "usr_other"}, {"groups": [{"value": "x"}]}):
        refused = await company.patch(path, {"op": "replace", "value": value}, status=400)
        assert refused["scimType"] == "mutability"
    again = await company.call("GET", path, 200)
    assert again["id"] == made["id"]
    assert "groups" not in again
    members = (await company.owner.call("GET", f"/v1/orgs/{company.org}/members?limit=200", 200)).json()[
        "items"
    ]
    assert [one["role"] for one in members if one["user"] == made["id"]] == ["member"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/Users", {"schemas": [GROUP], "userName": "x"}, 400),
        ("/Users", {"schemas": [USER]}, 400),
        ("/Users", {"schemas": [USER], "userName": {"$gt": ""}}, 400),
        ("/Users", {"schemas": [USER], "userName": "x" * 500}, 400),
        ("/Users", {"schemas": [USER], "userName": "long", "title": "x" * 20_000}, 400),
        ("/Users", [], 400),
        ("/Groups", {"schemas": [GROUP], "displayName": "x", "members": [{"value": "usr_0"}]}, 400),
        ("/Groups", {"schemas": [GROUP]}, 400),
        (
            "/Groups",
            {
                "schemas": [GROUP],
                "displayName": "x",
                "members": [{"value": f"usr_{n}"} for n in range(10_001)],
            },
            413,
        ),
    ],
)
async def test_odd_bodies_are_refused(company: Company, path: str, body: Any, status: int) -> None:
    answer = await company.call("POST", path, status, body)
    assert answer["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert answer["status"] == str(status)
