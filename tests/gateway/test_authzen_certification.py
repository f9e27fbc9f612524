"""The cases of the AuthZEN 1.0 certification scenario, each under the number that it has there.

Its fixture (alice, bob, two records) is an organization with a vocabulary; the decisions are made from what
the two hold. The scenario asks for https in addresses, which is the proxy's in front of the portal.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from deploy.local import LocalPortal
from tests.portal import somebody

ALICE = {"type": "user", "id": "alice"}
BOB = {"type": "user", "id": "bob"}
ADMIN_BOB = {**BOB, "properties": {"role": "admin"}}
RECORD_1 = {"type": "record", "id": "record-1"}
RECORD_2 = {"type": "record", "id": "record-2"}
ARCHIVED = {**RECORD_2, "properties": {"status": "archived"}}
ACTIVE = {**RECORD_1, "properties": {"status": "active"}}
READ, WRITE = {"name": "read"}, {"name": "write"}


def asks(subject: Any, action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"subject": subject, "action": action, "resource": resource, **more}


@pytest.fixture(scope="module")
async def pdp(portal: LocalPortal) -> AsyncIterator[httpx.AsyncClient]:
    """The decision point with the scenario's fixture, as an application's key asks it."""
    owner, alice, bob = [await somebody(portal.gateways[0]) for _ in range(3)]
    org = await owner.make_org()
    below = f"/v1/orgs/{org}"
    for person in (alice, bob):
        await owner.invite(org, person, "member")
    for record in ("record-1", "record-2"):
        await owner.make_app(org, record)
        for person, role in ((alice, "developer"), (bob, "viewer")):
            body = {
                "subject": {"type": "user", "id": person.id},
                "role": role,
                "resource": f"{org}/{record}",
            }
            await owner.call("POST", f"{below}/assignments", 201, json=body)
    vocabulary = {
        "resources": {"record": "application"},
        "subjects": {
            "alice": {"id": alice.id},
            "bob": {"id": bob.id, "properties": {"role": "admin"}},
        },
        "properties": {"record": {"record-1": {"status": "active"}, "record-2": {"status": "archived"}}},
        "meanings": [
            {"resource": "record", "action": "read", "permission": "app:read"},
            {
                "resource": "record",
                "action": "write",
                "when": {"resource.status": "archived", "subject.role": "admin"},
                "permission": "app:read",
            },
            {
                "resource": "record",
                "action": "write",
                "when": {"resource.status": "archived"},
                "permission": None,
            },
            {"resource": "record", "action": "write", "permission": "app:update"},
            {
                "resource": "record",
                "action": "delete",
                "when": {"action.soft": True},
                "permission": "app:update",
            },
        ],
    }
    await owner.call("PUT", f"{below}/vocabulary", 200, json=vocabulary)
    account = await owner.call("POST", f"{below}/service-accounts", 201, json={"slug": "pep", "name": "PEP"})
    subject = {"type": "service_account", "id": account.json()["id"]}
    body = {"subject": subject, "role": "admin", "resource": org}
    await owner.call("POST", f"{below}/assignments", 201, json=body)
    keys = f"{below}/service-accounts/{subject['id']}/keys"
    key = (await owner.call("POST", keys, 201, json={"name": "pep"})).json()["key"]
    async with httpx.AsyncClient(
        base_url=portal.gateways[1], headers={"authorization": f"Bearer {key}"}, timeout=20
    ) as http:
        # The other gateway hears of all this within moments.
        for _ in range(200):
            answer = await http.post("/access/v1/evaluation", json=asks(ALICE, READ, RECORD_1))
            if answer.status_code == 200 and answer.json()["decision"]:
                break
        yield http
    for person in (owner, alice, bob):
        await person.http.aclose()


async def ask(pdp: httpx.AsyncClient, path: str, body: Any) -> dict[str, Any]:
    answer = await pdp.post(f"/access/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    found: dict[str, Any] = answer.json()
    return found


DECISIONS = {
    "2.2.1 permit": (asks(ALICE, READ, RECORD_1), True),
    "rule 2": (asks(ALICE, WRITE, RECORD_1), True),
    "rule 3": (asks(BOB, READ, RECORD_1), True),
    "2.2.2 deny": (asks(BOB, WRITE, RECORD_1), False),
    "2.2.3 context": (
        asks(ALICE, READ, RECORD_1, context={"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}),
        True,
    ),
    "2.2.4 deny by resource properties": (asks(ALICE, WRITE, ARCHIVED), False),
    "2.2.5 permit by subject properties": (asks(ADMIN_BOB, WRITE, ARCHIVED), True),
    "2.2.6 permit by action properties": (
        asks(ALICE, {"name": "delete", "properties": {"soft": True}}, RECORD_1),
        True,
    ),
    "2.2.7 deny by action properties": (
        asks(ALICE, {"name": "delete", "properties": {"soft": False}}, RECORD_1),
        False,
    ),
    "2.2.8 additional properties": (
        asks(
            {**ALICE, "properties": {"department": "Sales", "role": "manager"}},
            {**READ, "properties": {"method": "GET"}},
            {**RECORD_1, "properties": {"status": "active", "owner": "bob"}},
        ),
        True,
    ),
    "2.2.9 unknown fields": (asks(ALICE, READ, RECORD_1, foo="bar", futureField={"nested": True}), True),
}


@pytest.mark.parametrize("case", DECISIONS)
async def test_basic_decisions(pdp: httpx.AsyncClient, case: str) -> None:
    question, decision = DECISIONS[case]
    answer = await ask(pdp, "evaluation", question)
    assert answer["decision"] is decision
    assert isinstance(answer.get("context", {}), dict)


MALFORMED: dict[str, Any] = {
    "2.4.1 no subject": {"action": READ, "resource": RECORD_1},
    "2.4.1 no action": {"subject": ALICE, "resource": RECORD_1},
    "2.4.1 no resource": {"subject": ALICE, "action": READ},
    "2.4.2 no subject type": asks({"id": "alice"}, READ, RECORD_1),
    "2.4.2 no subject id": asks({"type": "user"}, READ, RECORD_1),
    "2.4.2 no action name": asks(ALICE, {}, RECORD_1),
    "2.4.2 no resource type": asks(ALICE, READ, {"id": "record-1"}),
    "2.4.2 no resource id": asks(ALICE, READ, {"type": "record"}),
    "2.4.6 subject is text": asks("alice", READ, RECORD_1),
    "2.4.6 action name is a number": asks(ALICE, {"name": 123}, RECORD_1),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_basic_errors(pdp: httpx.AsyncClient, case: str) -> None:
    assert (await pdp.post("/access/v1/evaluation", json=MALFORMED[case])).status_code == 400


@pytest.mark.parametrize(
    ("case", "kind", "body"),
    [
        ("2.4.3 content type", "text/plain", json.dumps(asks(ALICE, READ, RECORD_1))),
        ("2.4.4 malformed", "application/json", '{"subject":'),
        ("2.4.5 empty", "application/json", ""),
    ],
)
async def test_basic_bodies(pdp: httpx.AsyncClient, case: str, kind: str, body: str) -> None:
    answer = await pdp.post("/access/v1/evaluation", content=body, headers={"content-type": kind})
    assert answer.status_code == 400, case


async def test_2_5_the_request_id_is_echoed(pdp: httpx.AsyncClient) -> None:
    question = asks(ALICE, READ, RECORD_1)
    named = await pdp.post("/access/v1/evaluation", json=question, headers={"x-request-id": "abc-1"})
    assert named.headers["x-request-id"] == "abc-1"
    assert (await pdp.post("/access/v1/evaluation", json=question)).status_code == 200


async def test_2_6_the_same_question_has_the_same_answer(pdp: httpx.AsyncClient) -> None:
    answers = [await ask(pdp, "evaluation", asks(BOB, WRITE, RECORD_1)) for _ in range(5)]
    assert [answer["decision"] for answer in answers] == [False] * 5


BATCHES: dict[str, tuple[dict[str, Any], list[bool | None]]] = {
    "3.2.1 evaluations": (
        {"subject": ALICE, "action": READ, "evaluations": [{"resource": RECORD_1}, {"resource": RECORD_2}]},
        [True, None],
    ),
    "3.2.2 in order": (
        {"subject": BOB, "resource": RECORD_1, "evaluations": [{"action": READ}, {"action": WRITE}]},
        [True, False],
    ),
    "3.2.3 properties": (
        {"subject": ALICE, "action": WRITE, "evaluations": [{"resource": ACTIVE}, {"resource": ARCHIVED}]},
        [True, False],
    ),
    "3.2.4 subject properties": (
        {"action": WRITE, "resource": ARCHIVED, "evaluations": [{"subject": ALICE}, {"subject": ADMIN_BOB}]},
        [False, True],
    ),
    "3.2.5 no defaults": (
        {"evaluations": [asks(ALICE, READ, RECORD_1), asks(BOB, WRITE, RECORD_1)]},
        [True, False],
    ),
    "3.2.6 context": (
        {
            "subject": ALICE,
            "action": READ,
            "context": {"time": "2025-06-27T18:03-07:00"},
            "evaluations": [
                {"resource": RECORD_1},
                {"resource": RECORD_2, "context": {"source": "override"}},
            ],
        },
        [None, None],
    ),
    "3.2.7 merging": (
        {
            "subject": ALICE,
            "action": WRITE,
            "resource": {"type": "record"},
            "evaluations": [
                {"resource": {"id": "record-1", "properties": {"status": "active"}}},
                {"resource": ARCHIVED},
            ],
        },
        [True, False],
    ),
    "3.4.1 one fails": (
        {"subject": ALICE, "action": READ, "evaluations": [{"resource": RECORD_1}, {}]},
        [True, False],
    ),
}


@pytest.mark.parametrize("case", BATCHES)
async def test_batches(pdp: httpx.AsyncClient, case: str) -> None:
    question, decisions = BATCHES[case]
    answers = (await ask(pdp, "evaluations", question))["evaluations"]
    assert len(answers) == len(decisions)
    for answer, decision in zip(answers, decisions, strict=True):
        assert isinstance(answer["decision"], bool)
        assert decision is None or answer["decision"] is decision


@pytest.mark.parametrize("more", [{}, {"evaluations": []}], ids=["3.4.2 none", "3.4.3 empty"])
async def test_a_batch_of_nothing_is_one_question(pdp: httpx.AsyncClient, more: dict[str, Any]) -> None:
    answer = await ask(pdp, "evaluations", asks(ALICE, READ, RECORD_1, **more))
    assert answer["decision"] is True
    assert "evaluations" not in answer


@pytest.mark.parametrize(
    ("semantic", "decisions"),
    [
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
async def test_a_batch_ends_where_its_semantic_says(
    pdp: httpx.AsyncClient, semantic: str, decisions: list[bool]
) -> None:
    question = {
        "subject": BOB,
        "resource": RECORD_1,
        "options": {"evaluations_semantic": semantic},
        "evaluations": [{"action": READ}, {"action": WRITE}, {"action": READ}],
    }
    answers = (await ask(pdp, "evaluations", question))["evaluations"]
    assert [answer["decision"] for answer in answers] == decisions


SEARCHES: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "4.2.1 subjects": ("subject", asks({"type": "user"}, READ, RECORD_1), {"alice", "bob"}),
    "4.2.2 context": (
        "subject",
        asks({"type": "user"}, READ, RECORD_1, context={"ip": "::1"}),
        {"alice", "bob"},
    ),
    "4.2.4 subjects by properties": ("subject", asks({"type": "user"}, WRITE, ARCHIVED), {"bob"}),
    "4.3.1 resources": ("resource", asks(ALICE, READ, {"type": "record"}), {"record-1"}),
    "4.3.3 resources by properties": ("resource", asks(ADMIN_BOB, WRITE, {"type": "record"}), {"record-2"}),
    "4.4.1 actions": ("action", {"subject": ALICE, "resource": RECORD_1}, {"read", "write"}),
    "4.4.2 context": (
        "action",
        {"subject": ALICE, "resource": RECORD_1, "context": {"ip": "::1"}},
        {"read", "write"},
    ),
    "4.4.3 actions by properties": ("action", {"subject": ADMIN_BOB, "resource": ARCHIVED}, {"write"}),
}


@pytest.mark.parametrize("case", SEARCHES)
async def test_searches(pdp: httpx.AsyncClient, case: str) -> None:
    kind, question, expected = SEARCHES[case]
    results = (await ask(pdp, f"search/{kind}", question))["results"]
    if kind == "action":
        found = {one["name"] for one in results}
    else:
        found = {one["id"] for one in results}
        assert {one["type"] for one in results} == {question[kind]["type"]}
    assert expected <= found
    if case == "4.2.4 subjects by properties":
        assert "alice" not in found


async def test_4_5_pages(pdp: httpx.AsyncClient) -> None:
    question = asks({"type": "user"}, READ, RECORD_1)
    whole = (await ask(pdp, "search/subject", question))["results"]
    walked: list[Any] = []
    token: str | None = None
    while token != "":
        page = {"limit": 1} if token is None else {"limit": 1, "token": token}
        answer = await ask(pdp, "search/subject", {**question, "page": page})
        assert len(answer["results"]) == 1
        walked += answer["results"]
        token = answer["page"]["next_token"]
        assert isinstance(token, str)
    assert walked == whole
    assert len(whole) >= 3  # the owner too


NOTHING: dict[str, tuple[str, dict[str, Any]]] = {
    "4.6.1 subject": (
        "action",
        {"subject": {"type": "user", "id": "nonexistent-user"}, "resource": RECORD_1},
    ),
    "4.6.2 type": ("subject", asks({"type": "spaceship"}, READ, RECORD_1)),
    "4.6.2 resource type": ("resource", asks(ALICE, READ, {"type": "spaceship"})),
}


@pytest.mark.parametrize("case", NOTHING)
async def test_4_6_nothing_found_is_no_error(pdp: httpx.AsyncClient, case: str) -> None:
    kind, question = NOTHING[case]
    assert (await ask(pdp, f"search/{kind}", question))["results"] == []


SEARCH_ERRORS: dict[str, tuple[str, dict[str, Any]]] = {
    "4.7.1 no action": ("subject", {"subject": {"type": "user"}, "resource": RECORD_1}),
    "4.7.1 no subject": ("resource", {"action": READ, "resource": {"type": "record"}}),
    "4.7.1 no resource": ("action", {"subject": ALICE}),
    "4.7.2 no resource id": ("subject", asks({"type": "user"}, READ, {"type": "record"})),
    "4.7.2 no subject id": ("resource", asks({"type": "user"}, READ, {"type": "record"})),
}


@pytest.mark.parametrize("case", SEARCH_ERRORS)
async def test_4_7_search_errors(pdp: httpx.AsyncClient, case: str) -> None:
    kind, question = SEARCH_ERRORS[case]
    assert (await pdp.post(f"/access/v1/search/{kind}", json=question)).status_code == 400


async def test_6_the_metadata_says_where(pdp: httpx.AsyncClient) -> None:
    answer = await pdp.get("/.well-known/authzen-configuration")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    found = answer.json()
    base = str(pdp.base_url).rstrip("/")
    assert found.pop("policy_decision_point") == base
    assert set(found) == {
        "access_evaluation_endpoint",
        "access_evaluations_endpoint",
        "search_subject_endpoint",
        "search_resource_endpoint",
        "search_action_endpoint",
    }
    for address in found.values():
        # Every address is one that answers.
        assert address.startswith(f"{base}/access/v1/")
        assert (await pdp.post(address, json={})).status_code == 400
