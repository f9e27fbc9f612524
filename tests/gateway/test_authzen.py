"""Who may ask for which decision, in the portal's own words, and what the answer gives as its reason."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.local import LocalPortal
from tests.gateway.conftest import Tenant
from tests.portal import Person


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
            # A read that has to see the change comes first; decisions never ask anybody.
            after = {"mes-after": moved.headers["mes-version"]}
            await victim.viewer.call("GET", f"{gateway}/v1/orgs/{victim.org}", 200, headers=after)
            url = f"{gateway}/access/v1/evaluation"
            answer = (await victim.viewer.call("POST", url, 200, json=asked)).json()
            assert answer["decision"] is expected
