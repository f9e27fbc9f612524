"""A request repeated has one effect (G3); of versions, nobody reads an older one (G5)."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from deploy.local import LocalPortal
from tests.gateway.refusals import problem
from tests.portal import Person, a_slug, somebody


def new_app(slug: str) -> dict[str, Any]:
    return {"slug": slug, "name": slug, "kind": "remote"}


async def test_a_key_that_belongs_to_another_request_is_refused(owner: Person) -> None:
    (org,), key = owner.orgs, {"idempotency-key": secrets.token_hex(8)}
    slug, other = a_slug("app"), a_slug("app")
    await owner.call("POST", f"/v1/orgs/{org}/apps", 201, json=new_app(slug), headers=key)
    answer = await owner.http.post(f"/v1/orgs/{org}/apps", json=new_app(other), headers=key)
    problem(answer, 422, "idempotency_key_reused")
    answer = await owner.http.patch(f"/v1/orgs/{org}/apps/{slug}", json={"name": "New"}, headers=key)
    problem(answer, 422, "idempotency_key_reused")
    problem(await owner.http.get(f"/v1/orgs/{org}/apps/{other}"), 404, "app_not_found")


async def test_the_same_key_gives_the_same_answer_through_any_gateway(
    portal: LocalPortal, owner: Person
) -> None:
    (org,), key = owner.orgs, {"idempotency-key": secrets.token_hex(8)}
    body = new_app(a_slug("app"))
    answers = [
        await owner.call("POST", f"{gateway}/v1/orgs/{org}/apps", 201, json=body, headers=key)
        for gateway in (*portal.gateways, *portal.gateways)
    ]
    assert len({answer.text for answer in answers}) == 1
    assert len({answer.headers["mes-version"] for answer in answers}) == 1


async def test_the_same_key_at_the_same_time_has_one_effect(portal: LocalPortal, owner: Person) -> None:
    (org,) = owner.orgs
    for _ in range(5):
        key, body = {"idempotency-key": secrets.token_hex(8)}, new_app(a_slug("app"))
        answers = await asyncio.gather(
            *(
                owner.http.post(f"{gateway}/v1/orgs/{org}/apps", json=body, headers=key)
                for gateway in portal.gateways * 4
            )
        )
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        seen = (await owner.call("GET", f"/v1/orgs/{org}/apps/{body['slug']}", 200)).json()
        assert seen["revision"] == 1


async def test_a_refusal_is_the_same_when_it_is_asked_again(portal: LocalPortal, owner: Person) -> None:
    (org,), key = owner.orgs, {"idempotency-key": secrets.token_hex(8)}
    body = new_app(await owner.make_app(org))
    answers = [
        problem(
            await owner.http.post(f"{gateway}/v1/orgs/{org}/apps", json=body, headers=key), 409, "app_exists"
        )
        for gateway in portal.gateways
    ]
    assert answers[0]["detail"] == answers[1]["detail"]


async def test_a_key_is_its_owners_alone(portal: LocalPortal, owner: Person) -> None:
    key = {"idempotency-key": secrets.token_hex(8)}
    other = await somebody(portal.url)
    for person in (owner, other):
        slug = a_slug("org")
        made = await person.call("POST", "/v1/orgs", 201, json={"slug": slug, "name": slug}, headers=key)
        assert made.json()["slug"] == slug
    await other.http.aclose()


@pytest.mark.parametrize("key", ["", "x" * 201, "\u00e9", "a\tb"])
async def test_a_key_that_is_none_is_refused(owner: Person, key: str) -> None:
    headers = [(b"idempotency-key", key.encode())]
    answer = await owner.http.post("/v1/orgs", json={"slug": a_slug(), "name": "A"}, headers=headers)
    problem(answer, 422, "idempotency_key_invalid")


@pytest.mark.parametrize(
    "header",
    ['"nonsense"', "r1", '"r"', '"r-1"', '"r\u00b2"', '"r' + "9" * 5000 + '"', 'W/"r1"', '"r1", "r2"', '""'],
)
async def test_an_if_match_that_names_no_revision_is_refused(owner: Person, app: str, header: str) -> None:
    before = (await owner.call("GET", app, 200)).json()
    answer = await owner.http.patch(
        app, json={"name": "Changed"}, headers=[(b"if-match", header.encode("latin-1"))]
    )
    problem(answer, 412, "malformed_if_match")
    assert (await owner.call("GET", app, 200)).json() == before


async def test_a_stale_if_match_is_refused_and_the_newest_is_taken(owner: Person, app: str) -> None:
    org = app.split("/apps/")[0]
    for address in (app, f"{org}/environments/staging", org):
        read = await owner.call("GET", address, 200)
        changed = await owner.call(
            "PATCH", address, 200, json={"name": "First"}, headers={"if-match": read.headers["etag"]}
        )
        assert changed.headers["etag"] != read.headers["etag"]
        late = await owner.http.patch(
            address, json={"name": "Second"}, headers={"if-match": read.headers["etag"]}
        )
        problem(late, 412, "stale_revision")
        seen = await owner.call("GET", address, 200)
        assert seen.json()["name"] == "First"
        assert seen.headers["etag"] == changed.headers["etag"]


@pytest.mark.parametrize(
    "after", ["nonsense", "registry/org", "registry/org=", "registry/org=-1", "elsewhere/org=1", "a=1", ","]
)
async def test_a_version_that_was_never_given_out_is_refused(owner: Person, app: str, after: str) -> None:
    problem(await owner.http.get(app, headers={"mes-after": after}), 400, "malformed_version")


async def test_a_version_that_is_not_there_yet_is_not_answered_with_less(owner: Person, app: str) -> None:
    """Of rights, which a gateway knows from events: an owner itself always reads its newest."""
    wrote = await owner.call("PATCH", app.split("/apps/")[0], 200, json={"name": "Newer"})
    service, _, sequence = wrote.headers["mes-version"].rpartition("=")
    answer = await owner.http.get(app, headers={"mes-after": f"{service}={int(sequence) + 1000}"})
    problem(answer, 503, "not_caught_up")
    assert answer.headers["retry-after"]


async def test_what_was_written_through_one_gateway_is_read_through_the_other(
    portal: LocalPortal, owner: Person
) -> None:
    (org,) = owner.orgs
    writing, reading = portal.gateways
    slug = await owner.make_app(org)
    for turn in range(50):
        name = f"name {turn}"
        wrote = await owner.call("PATCH", f"{writing}/v1/orgs/{org}/apps/{slug}", 200, json={"name": name})
        after = {"mes-after": wrote.headers["mes-version"]}
        read = await owner.call("GET", f"{reading}/v1/orgs/{org}/apps/{slug}", 200, headers=after)
        assert read.json()["name"] == name
        listed = await owner.call("GET", f"{reading}/v1/orgs/{org}/apps?limit=200", 200, headers=after)
        assert name in [item["name"] for item in listed.json()["items"]]
        writing, reading = reading, writing


async def test_a_new_organization_is_there_through_the_other_gateway(
    portal: LocalPortal, owner: Person
) -> None:
    for turn in range(10):
        writing, reading = portal.gateways[turn % 2], portal.gateways[(turn + 1) % 2]
        slug = a_slug("org")
        made = await owner.call("POST", f"{writing}/v1/orgs", 201, json={"slug": slug, "name": slug})
        after = {"mes-after": made.headers["mes-version"]}
        await owner.call("GET", f"{reading}/v1/orgs/{slug}", 200, headers=after)
        listed = await owner.call("GET", f"{reading}/v1/orgs", 200, headers=after)
        assert slug in [item["slug"] for item in listed.json()["items"]]
