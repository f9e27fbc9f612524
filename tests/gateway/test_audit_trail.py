"""The log tells of a whole journey: who, what, on what, when, from where, in which trace; refusals too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx

from deploy.local import LocalPortal
from tests.gateway.conftest import eventually
from tests.portal import PASSWORD, Person, a_build, a_slug, a_tar, signed_in, somebody

AGENT = "journey/1.0"


class Step(NamedTuple):
    """One request of the journey and what the log must say of it."""

    trace: str
    who: Person
    action: str
    resource: str
    outcome: str = "done"
    code: str | None = None


async def entries(reader: Person, path: str, **search: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        params = {**search, "limit": 200} | ({"cursor": cursor} if cursor else {})
        page = (await reader.call("GET", path, 200, params=params)).json()
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


async def test_a_journey_is_in_the_log_from_its_first_to_its_last_step(portal: LocalPortal) -> None:
    began = datetime.now(UTC) - timedelta(seconds=5)
    owner, member = await somebody(portal.gateways[0]), await somebody(portal.gateways[1])
    for person in (owner, member):
        person.http.headers["user-agent"] = AGENT
    org, app = a_slug("org"), a_slug("app")
    base = f"/v1/orgs/{org}"
    steps: list[Step] = []

    async def step(
        who: Person,
        method: str,
        path: str,
        status: int,
        action: str,
        resource: str,
        code: str | None = None,
        **body: Any,
    ) -> httpx.Response:
        answer = await who.call(method, path, status, **body)
        outcome = "refused" if code else "done"
        steps.append(Step(answer.headers["mes-trace"], who, action, resource, outcome, code))
        return answer

    made = await step(
        owner, "POST", "/v1/orgs", 201, "identity.organization_created", "", json={"slug": org, "name": "O"}
    )
    tenant: str = made.json()["id"]
    new_app = {"slug": app, "name": app, "kind": "remote"}
    await step(owner, "POST", f"{base}/apps", 201, "registry.app_created", f"/{app}", json=new_app)
    await step(owner, "POST", f"{base}/apps", 409, "registry.create_app", "", code="app_exists", json=new_app)
    for version in ("1.0.0", "1.1.0"):
        upload: dict[str, Any] = {
            "files": {"file": ("b.tar.gz", a_tar(a_build(version=version)))},
            "data": {"version": version},
        }
        published = "registry.version_published"
        await step(owner, "POST", f"{base}/apps/{app}/versions", 201, published, f"/{app}", **upload)
        await step(
            owner,
            "POST",
            f"{base}/environments/production/rollouts",
            201,
            "deploy.version_went_live",
            f"/{app}/production",
            json={"app": app, "version": version},
        )
    invited = await step(
        owner,
        "POST",
        f"{base}/invitations",
        201,
        "identity.member_invited",
        "",
        json={"email": member.email, "role": "viewer"},
    )
    # Refused before and after there is a right to anything.
    await step(member, "GET", f"{base}/apps", 404, "GET /v1/orgs/{org}/apps", "", "organization_not_found")
    await step(
        member,
        "POST",
        "/v1/invitations/accept",
        201,
        "identity.invitation_accepted",
        "",
        json={"token": invited.json()["token"]},
    )

    async def joined() -> bool:
        return (await member.call("GET", base)).status_code == 200

    await eventually(joined, "every gateway knows the new member")
    again = await signed_in(portal.gateways[0], member.email, PASSWORD)
    again.http.headers["user-agent"] = AGENT
    await step(
        member,
        "PATCH",
        f"{base}/environments/production",
        403,
        "deploy.update_environment",
        "",
        "permission_missing",
        json={"locked": True},
    )
    await step(
        owner,
        "POST",
        f"{base}/environments/production/apps/{app}/rollback",
        201,
        "deploy.rollout_started",
        f"/{app}/production",
    )
    await step(owner, "DELETE", f"{base}/members/{member.id}", 204, "identity.member_removed", "", json=None)

    def told_by(found: list[dict[str, Any]], wanted: Step) -> list[dict[str, Any]]:
        return [
            entry for entry in found if entry["trace_id"] == wanted.trace and entry["action"] == wanted.action
        ]

    async def complete() -> list[dict[str, Any]]:
        found = await entries(owner, f"{base}/audit/events")
        return found if all(told_by(found, wanted) for wanted in steps) else []

    log = await eventually(complete, "every step is in the log")
    ended = datetime.now(UTC) + timedelta(seconds=5)
    for wanted in steps:
        (entry,) = told_by(log, wanted)
        assert entry["actor"] == wanted.who.id
        assert entry["actor_name"] == wanted.who.email
        assert entry["resource"] == tenant + wanted.resource
        assert entry["outcome"] == wanted.outcome
        assert entry["address"] == "127.0.0.1"
        assert entry["agent"] == AGENT
        assert entry["session"].startswith("ses_")
        assert began <= datetime.fromisoformat(entry["occurred_at"]) <= ended
        assert entry["occurred_at"] <= entry["recorded_at"]
        assert entry["summary"]
        if wanted.code:
            assert entry["data"]["code"] == wanted.code
            assert wanted.code in entry["summary"]

    # A member's sign-in is told to the organization, which cannot see that somebody else signed in.
    signed = [entry for entry in log if entry["action"] == "identity.session_opened"]
    assert [entry["actor"] for entry in signed] == [member.id]
    # Each entry once, whatever the bus did on the way, and each service's facts without a gap.
    assert len({entry["id"] for entry in log}) == len(log)
    for service in ("identity", "registry", "deploy"):
        numbers = sorted(entry["sequence"] for entry in log if entry["service"] == service)
        assert numbers == list(range(1, len(numbers) + 1))
    # What is secret is in no entry.
    text = str(log)
    for secret in (PASSWORD, invited.json()["token"], owner.token, owner.refresh_token):
        assert secret not in text

    # The log can be searched by each of its columns.
    found = await entries(owner, f"{base}/audit/events", actor=member.id)
    assert found
    assert {entry["actor"] for entry in found} == {member.id}
    refused = await entries(owner, f"{base}/audit/events", outcome="refused")
    assert {entry["trace_id"] for entry in refused} == {s.trace for s in steps if s.outcome == "refused"}
    of_app = await entries(owner, f"{base}/audit/events", resource=f"{org}/{app}")
    assert {entry["resource"] for entry in of_app} == {f"{tenant}/{app}", f"{tenant}/{app}/production"}
    (one,) = await entries(owner, f"{base}/audit/events", trace=steps[1].trace)
    assert one["action"] == "registry.app_created"
    published_ones = await entries(owner, f"{base}/audit/events", action="registry.version_*")
    assert len(published_ones) == 2
    assert await entries(owner, f"{base}/audit/events", since=ended.isoformat()) == []
    for person in (owner, member, again):
        await person.http.aclose()


async def test_sign_ins_and_refused_sign_ins_are_in_the_installations_log(portal: LocalPortal) -> None:
    person = await somebody(portal.gateways[0])
    wrong = await person.http.post(
        "/v1/sessions", json={"email": person.email, "password": "not the password at all"}
    )
    assert wrong.status_code == 401
    prying = await person.call("GET", "/v1/operations/dead", 403)
    over = await person.call("DELETE", "/v1/sessions/current", 204)
    operator = await signed_in(portal.gateways[0], portal.admin.email, portal.admin.password)

    async def complete() -> dict[str, dict[str, Any]]:
        found = await entries(operator, "/v1/operations/audit/events")
        by_trace = {entry["trace_id"]: entry for entry in found}
        wanted = [answer.headers["mes-trace"] for answer in (wrong, prying, over)]
        registered = [
            e for e in found if e["action"] == "identity.user_registered" and e["actor"] == person.id
        ]
        opened = [e for e in found if e["action"] == "identity.session_opened" and e["actor"] == person.id]
        if not (registered and opened and all(trace in by_trace for trace in wanted)):
            return {}
        return {
            "registered": registered[0],
            "opened": opened[0],
            "wrong": by_trace[wanted[0]],
            "prying": by_trace[wanted[1]],
            "over": by_trace[wanted[2]],
        }

    log = await eventually(complete, "the installation's log has them")
    assert log["wrong"]["outcome"] == "refused"
    assert log["wrong"]["action"] == "identity.open_session"
    assert log["wrong"]["data"]["code"] == "sign_in_refused"
    assert log["wrong"]["data"]["attempt"] == {"email": person.email}
    assert log["wrong"]["address"] == "127.0.0.1"
    assert log["prying"]["outcome"] == "refused"
    assert log["prying"]["actor"] == person.id
    assert log["prying"]["action"] == "GET /v1/operations/dead"
    assert log["over"]["action"] == "identity.session_ended"
    assert log["over"]["actor"] == person.id
    assert "not the password at all" not in str(log)
    await person.http.aclose()
    await operator.http.aclose()
