"""Who may ask for which decision, in the portal's own words, and what the answer gives as its reason."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from deploy.local import LocalPortal
from tests.gateway.conftest import Tenant
from tests.portal import Person, a_slug, somebody


def question(subject: str, action: str, resource: str, kind: str = "application") -> dict[str, Any]:
    return {
        "subject": {"type": "user", "id": subject},
        "action": {"name": action},
        "resource": {"type": kind, "id": resource},
    }


async def ask(person: Person, asked: dict[str, Any], status: int = 200) -> dict[str, Any]:
    answer = await person.call("POST", "/access/v1/evaluation", status, json=asked)
    found: dict[str, Any] = answer.json()
    return found


async def test_a_decision_names_the_assignment_that_made_it(victim: Tenant) -> None:
    on = f"{victim.org}/{victim.app}"
    answer = await ask(victim.viewer, question(victim.viewer.id, "app:read", on))
    assert answer == {
        "decision": True,
        "context": {"reason_admin": {"assignment": "membership", "role": "viewer", "resource": victim.org}},
    }
    account = victim.more["account"]
    body = {
        "subject": {"type": "service_account", "id": account},
        "role": victim.more["role"],
        "resource": on,
    }
    made = await victim.owner.call("POST", f"/v1/orgs/{victim.org}/assignments", 201, json=body)
    asked = {
        "subject": {"type": "service_account", "id": account},
        "action": {"name": "version:publish"},
        "resource": {"type": "environment", "id": f"{on}/production"},
    }
    answer = await ask(victim.owner, asked)
    assert answer["decision"] is True
    assert answer["context"]["reason_admin"] == {
        "assignment": made.json()["id"],
        "role": victim.more["role"],
        "resource": on,
    }


async def test_a_denial_names_the_permission_that_was_missing(victim: Tenant) -> None:
    answer = await ask(victim.viewer, question(victim.viewer.id, "org:delete", victim.org, "organization"))
    assert answer == {"decision": False, "context": {"reason_admin": {"missing": "org:delete"}}}


async def test_about_others_only_those_ask_who_may_know(victim: Tenant, outsider: Person) -> None:
    on = f"{victim.org}/{victim.app}"
    asked = question(victim.viewer.id, "app:read", on)
    assert (await ask(victim.owner, asked))["decision"] is True
    for person in (victim.viewer, outsider):
        refused = await ask(person, question(victim.owner.id, "app:read", on), 403)
        assert refused["code"] == "decision_not_yours"
    # Of an organization that is not theirs outsiders learn as much as of one that is not there.
    theirs = await ask(outsider, question(outsider.id, "app:read", on), 403)
    nobodys = await ask(outsider, question(outsider.id, "app:read", "no-such-org/app"), 403)
    assert theirs["detail"] == nobodys["detail"]


@pytest.mark.parametrize("kind", ["subject", "resource", "action"])
async def test_searches_are_for_those_who_may_know(victim: Tenant, outsider: Person, kind: str) -> None:
    on = {"type": "application", "id": f"{victim.org}/{victim.app}"}
    asked: dict[str, Any] = {
        "subject": {"type": "user", "id": victim.owner.id},
        "action": {"name": "app:read"},
        "resource": on,
    }
    path, headers = f"/access/v1/search/{kind}", {"mes-org": victim.org}
    for person in (victim.viewer, outsider):
        await person.call("POST", path, 403, json=asked, headers=headers)
    found = (await victim.owner.call("POST", path, 200, json=asked, headers=headers)).json()["results"]
    match kind:
        case "subject":
            assert {victim.owner.id, victim.viewer.id} <= {one["id"] for one in found}
        case "resource":
            assert on in found
        case "action":
            assert {"name": "org:delete"} in found


async def test_everybody_may_search_what_is_theirs(victim: Tenant) -> None:
    me = {"type": "user", "id": victim.viewer.id}
    headers = {"mes-org": victim.org}
    asked: dict[str, Any] = {
        "subject": me,
        "action": {"name": "app:read"},
        "resource": {"type": "environment"},
    }
    answer = await victim.viewer.call("POST", "/access/v1/search/resource", 200, json=asked, headers=headers)
    assert f"{victim.org}/{victim.app}/production" in {one["id"] for one in answer.json()["results"]}
    asked = {"subject": me, "resource": {"type": "organization", "id": victim.org}}
    answer = await victim.viewer.call("POST", "/access/v1/search/action", 200, json=asked)
    names = {one["name"] for one in answer.json()["results"]}
    assert "app:read" in names
    assert "app:update" not in names


async def test_too_many_questions_at_once_are_refused(victim: Tenant) -> None:
    body = {"evaluations": [question(victim.owner.id, "app:read", victim.org)] * 1001}
    await victim.owner.call("POST", "/access/v1/evaluations", 400, json=body)


async def test_a_vocabulary_gives_nothing_and_keeps_to_its_words(victim: Tenant) -> None:
    path = f"/v1/orgs/{victim.org}/vocabulary"
    refused: list[tuple[dict[str, Any], str]] = [
        ({"resources": {"application": "environment"}}, "own_type_redefined"),
        (
            {
                "resources": {"r": "application"},
                "meanings": [{"resource": "r", "action": "a", "permission": "no:such"}],
            },
            "meaning_unknown",
        ),
        ({"meanings": [{"resource": "r", "action": "a", "permission": "app:read"}]}, "meaning_unknown"),
        ({"resources": {"r": "planet"}}, "invalid_body"),
        (
            {
                "resources": {"r": "application"},
                "meanings": [{"resource": "r", "action": "a", "when": {"x.y": 1}, "permission": "app:read"}],
            },
            "invalid_body",
        ),
    ]
    for body, code in refused:
        answer = await victim.owner.call("PUT", path, 422, json=body)
        assert answer.json()["code"] == code


async def test_a_decision_follows_a_change_at_every_gateway(portal: LocalPortal, victim: Tenant) -> None:
    asked = question(victim.viewer.id, "app:update", f"{victim.org}/{victim.app}")
    member = f"/v1/orgs/{victim.org}/members/{victim.viewer.id}"
    for role, expected in (("developer", True), ("viewer", False)):
        moved = await victim.owner.call("PUT", member, 200, json={"role": role})
        assert moved.json()["role"] == role
        for gateway in portal.gateways:
            after = {"mes-after": moved.headers["mes-version"]}
            url = f"{gateway}/access/v1/evaluation"
            answer = (await victim.viewer.call("POST", url, 200, json=asked, headers=after)).json()
            assert answer["decision"] is expected


async def test_people_are_known_by_their_addresses(victim: Tenant) -> None:
    on = f"{victim.org}/{victim.app}"
    for person, expected in ((victim.viewer, False), (victim.owner, True)):
        asked = question(person.email.upper(), "app:update", on)
        assert (await ask(victim.owner, asked))["decision"] is expected
        assert (await ask(person, asked))["decision"] is expected
    # Somebody else's address, and one that nobody here has.
    await ask(victim.viewer, question(victim.owner.email, "app:read", on), 403)
    nobody = await ask(victim.owner, question("nobody@example.org", "app:read", on))
    assert nobody["decision"] is False
    assert "no subject" in nobody["context"]["reason_admin"]["missing"]


async def test_a_team_may_what_it_gives_its_members(victim: Tenant) -> None:
    teams = (await victim.owner.call("GET", f"/v1/orgs/{victim.org}/teams", 200)).json()["items"]
    on = f"{victim.org}/{victim.app}"
    asked = question(teams[0]["id"], "version:publish", on)
    asked["subject"]["type"] = "team"
    answer = await ask(victim.owner, asked)
    assert answer["decision"] is True
    assert answer["context"]["reason_admin"]["assignment"] == victim.more["assignment"]
    found = await victim.owner.call(
        "POST",
        "/access/v1/search/subject",
        200,
        json={**asked, "subject": {"type": "team"}},
    )
    assert [one["id"] for one in found.json()["results"]] == [teams[0]["id"]]
    asked["action"]["name"] = "app:update"
    assert (await ask(victim.owner, asked))["decision"] is False


async def test_with_a_limited_key_one_may_what_the_key_leaves(portal: LocalPortal, victim: Tenant) -> None:
    below = f"/v1/orgs/{victim.org}"
    body: dict[str, Any] = {"slug": a_slug("sa"), "name": "Limited"}
    account = (await victim.owner.call("POST", f"{below}/service-accounts", 201, json=body)).json()["id"]
    subject = {"type": "service_account", "id": account}
    body = {"subject": subject, "role": "developer", "resource": victim.org}
    await victim.owner.call("POST", f"{below}/assignments", 201, json=body)
    keys = f"{below}/service-accounts/{account}/keys"
    body = {"name": "reads", "permissions": ["app:read"], "resource": f"{victim.org}/{victim.app}"}
    key = (await victim.owner.call("POST", keys, 201, json=body)).json()["key"]
    headers = {"authorization": f"Bearer {key}"}
    on = {"type": "application", "id": f"{victim.org}/{victim.app}"}
    async with httpx.AsyncClient(base_url=portal.url, headers=headers, timeout=20) as machine:
        decided = {}
        for action in ("app:read", "app:update"):
            asked = {"subject": subject, "action": {"name": action}, "resource": on}
            answer = await machine.post("/access/v1/evaluation", json=asked)
            decided[action] = answer.json()["decision"]
            # What the account holds, whoever asks with the right to know.
            assert (await ask(victim.owner, asked))["decision"] is True
    assert decided == {"app:read": True, "app:update": False}


async def test_a_search_names_no_application_that_its_caller_may_not_see(victim: Tenant) -> None:
    """Whoever may see who holds what, but one application only, does not learn the names of the others."""
    below = f"/v1/orgs/{victim.org}"
    hidden = await victim.owner.make_app(victim.org)
    curious = await somebody(str(victim.owner.http.base_url))
    await victim.owner.invite(victim.org, curious, "member")
    role = {"role": a_slug("sees"), "name": "Sees", "permissions": ["assignment:read"]}
    await victim.owner.call("POST", f"{below}/roles", 201, json=role)
    for name, on in ((role["role"], victim.org), ("viewer", f"{victim.org}/{victim.app}")):
        body = {"subject": {"type": "user", "id": curious.id}, "role": name, "resource": on}
        await victim.owner.call("POST", f"{below}/assignments", 201, json=body)
    asked = {
        "subject": {"type": "user", "id": victim.owner.id},
        "action": {"name": "app:read"},
        "resource": {"type": "application"},
    }
    path, headers = "/access/v1/search/resource", {"mes-org": victim.org}
    seen = (await curious.call("POST", path, 200, json=asked, headers=headers)).json()["results"]
    assert [one["id"] for one in seen] == [f"{victim.org}/{victim.app}"]
    whole = (await victim.owner.call("POST", path, 200, json=asked, headers=headers)).json()["results"]
    assert f"{victim.org}/{hidden}" in {one["id"] for one in whole}
    await curious.http.aclose()


async def test_in_a_batch_what_may_not_be_asked_is_denied_and_the_rest_is_answered(victim: Tenant) -> None:
    on = f"{victim.org}/{victim.app}"
    body = {
        "evaluations": [
            question(victim.viewer.id, "app:read", on),
            question(victim.owner.id, "app:read", on),
            question(victim.viewer.id, "app:read", "no-such-org/app"),
        ]
    }
    answer = await victim.viewer.call("POST", "/access/v1/evaluations", 200, json=body)
    answers = answer.json()["evaluations"]
    assert [one["decision"] for one in answers] == [True, False, False]
    assert [one["context"].get("error", {}).get("status") for one in answers] == [None, 403, 403]


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_refusals_carry_the_request_id_too(portal: LocalPortal, victim: Tenant, status: int) -> None:
    headers = {"x-request-id": f"mine-{status}"}
    if status != 401:
        headers["authorization"] = f"Bearer {victim.viewer.token}"
    body = {} if status == 400 else question(victim.owner.id, "app:read", victim.org, "organization")
    async with httpx.AsyncClient(base_url=portal.url, headers=headers, timeout=20) as http:
        answer = await http.post("/access/v1/evaluation", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["x-request-id"] == f"mine-{status}"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_vocabulary_counts_as_soon_as_it_is_set(portal: LocalPortal, victim: Tenant) -> None:
    path = f"/v1/orgs/{victim.org}/vocabulary"
    asked = question("somebody", "look", victim.app, "widget")
    for permission, expected in (("app:read", True), ("org:delete", False), (None, False)):
        vocabulary = {
            "resources": {"widget": "application"},
            "subjects": {"somebody": {"id": victim.viewer.id}},
            "meanings": [{"resource": "widget", "action": "look", "permission": permission}],
        }
        made = await victim.owner.call("PUT", path, 200, json=vocabulary)
        for gateway in portal.gateways:
            headers = {"mes-after": made.headers["mes-version"], "mes-org": victim.org}
            url = f"{gateway}/access/v1/evaluation"
            answer = await victim.owner.call("POST", url, 200, json=asked, headers=headers)
            assert answer.json()["decision"] is expected
    # It gives its readers nothing: the viewer still may not set it.
    await victim.viewer.call("PUT", path, 403, json=vocabulary)
