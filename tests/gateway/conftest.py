"""A tenant with everything in it, and people who have no business there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from deploy.local import LocalPortal
from tests.gateway.cases import TRUST_RULE
from tests.portal import Person, a_slug, somebody

EVENTUALLY_S = 30.0


@dataclass
class Tenant:
    """An organization with its people and one of everything that the routes name."""

    org: str
    id: str
    owner: Person
    viewer: Person
    invited: Person
    invitation_token: str
    app: str
    rollout: str
    # Of everything else that paths name, one.
    more: dict[str, str] = field(default_factory=dict)

    def path(self, template: str, org: str | None = None) -> str:
        """A route's path with this tenant's own values in it."""
        values = {
            "org": org or self.org,
            "app": self.app,
            "version": "1.0.0",
            "env": "production",
            "rollout": self.rollout,
            "user": self.owner.id,
            "session": "ses_none",
            "passkey": "psk_none",
            **self.more,
        }
        return template.format(**values)

    async def picture(self) -> dict[str, str]:
        """Everything that this tenant can read about itself, but its log."""
        paths = [
            "/v1/orgs/{org}",
            "/v1/orgs/{org}/members",
            "/v1/orgs/{org}/invitations",
            "/v1/orgs/{org}/roles",
            "/v1/orgs/{org}/teams",
            "/v1/orgs/{org}/teams/{team}/members",
            "/v1/orgs/{org}/assignments",
            "/v1/orgs/{org}/service-accounts",
            "/v1/orgs/{org}/service-accounts/{account}/keys",
            "/v1/orgs/{org}/identity-providers",
            "/v1/orgs/{org}/managed-users",
            "/v1/orgs/{org}/apps",
            "/v1/orgs/{org}/apps/{app}",
            "/v1/orgs/{org}/apps/{app}/versions",
            "/v1/orgs/{org}/apps/{app}/versions/{version}",
            "/v1/orgs/{org}/environments",
            "/v1/orgs/{org}/environments/{env}/apps",
            "/v1/orgs/{org}/environments/{env}/rollouts",
            "/v1/orgs/{org}/rollouts/{rollout}",
            "/discovery/{org}/{env}",
        ]
        answers = [await self.owner.call("GET", self.path(path), 200) for path in paths]
        return {path: answer.text for path, answer in zip(paths, answers, strict=True)}


async def eventually(fact: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Waits until an asynchronous question has a true answer, and returns it."""
    deadline = time.monotonic() + EVENTUALLY_S
    while True:
        answer = await fact()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"did not happen: {what}"
        await asyncio.sleep(0.05)


async def a_tenant(url: str) -> Tenant:
    owner, viewer, invited = [await somebody(url) for _ in range(3)]
    org = await owner.make_org()
    app = await owner.make_app(org, a_slug("app"))
    for version in ("1.0.0", "1.1.0"):
        await owner.publish(org, app, version)
        rolled = await owner.roll_out(org, app, version)
    await owner.invite(org, viewer, "viewer")
    invitation = await owner.call(
        "POST", f"/v1/orgs/{org}/invitations", 201, json={"email": invited.email, "role": "developer"}
    )
    described = (await owner.call("GET", f"/v1/orgs/{org}", 200)).json()
    tenant = Tenant(
        org, described["id"], owner, viewer, invited, invitation.json()["token"], app, rolled.json()["id"]
    )
    tenant.more |= await who_may(owner, org, app)
    versions = f"/v1/orgs/{org}/apps/{app}/versions"

    async def placed() -> bool:
        newest = (await owner.call("GET", versions, 200)).json()["items"][0]
        return bool(newest["live_in"] == ["production"])

    await eventually(placed, "registry heard of the rollout")
    return tenant


async def who_may(owner: Person, org: str, app: str) -> dict[str, str]:
    """One role, team, assignment, service account and key."""
    role, team = "releaser", "checkout"
    below = f"/v1/orgs/{org}"
    permissions = ["app:read", "version:read", "version:publish"]
    await owner.call(
        "POST", f"{below}/roles", 201, json={"role": role, "name": "Releaser", "permissions": permissions}
    )
    made = await owner.call("POST", f"{below}/teams", 201, json={"slug": team, "name": "Checkout"})
    subject = {"type": "team", "id": made.json()["id"]}
    assigned = await owner.call(
        "POST",
        f"{below}/assignments",
        201,
        json={"subject": subject, "role": role, "resource": f"{org}/{app}"},
    )
    await owner.call("PUT", f"{below}/teams/{team}/members/{owner.id}", 200)
    account = await owner.call("POST", f"{below}/service-accounts", 201, json={"slug": "ci", "name": "CI"})
    keys = f"{below}/service-accounts/{account.json()['id']}/keys"
    key = await owner.call("POST", keys, 201, json={"name": "first"})
    settings = {"kind": "oidc", "issuer": f"https://{org}.example.org", "audiences": ["portal"]}
    issuer = await owner.call(
        "POST", f"{below}/identity-providers", 201, json={"name": "Ours", "settings": settings}
    )
    rule = await owner.call(
        "POST", keys.replace("/keys", "/trust-rules"), 201, json={**TRUST_RULE, "permissions": ["app:read"]}
    )
    managed = await owner.call("POST", f"{below}/managed-users", 201, json={"user_name": "grace"})
    return {
        "issuer": issuer.json()["id"],
        "rule": rule.json()["id"],
        "managed": managed.json()["id"],
        "group": made.json()["id"],
        "name": "User",
        "role": role,
        "team": team,
        "assignment": assigned.json()["id"],
        "account": account.json()["id"],
        "key": key.json()["id"],
    }


@pytest.fixture(scope="session")
async def victim(portal: LocalPortal) -> AsyncIterator[Tenant]:
    tenant = await a_tenant(portal.gateways[0])
    yield tenant
    for person in (tenant.owner, tenant.viewer, tenant.invited):
        await person.http.aclose()


@pytest.fixture(scope="session")
async def outsider(portal: LocalPortal) -> AsyncIterator[Person]:
    """Somebody with an organization of their own, and nothing in any other."""
    person = await somebody(portal.gateways[0])
    await person.make_org()
    yield person
    await person.http.aclose()


@pytest.fixture(scope="module")
async def owner(portal: LocalPortal) -> AsyncIterator[Person]:
    person = await somebody(portal.url)
    await person.make_org()
    yield person
    await person.http.aclose()


@pytest.fixture(scope="module")
async def app(owner: Person) -> str:
    """An application's address, with one version in it."""
    (org,) = owner.orgs
    slug = await owner.make_app(org)
    await owner.publish(org, slug, "1.0.0")
    return f"/v1/orgs/{org}/apps/{slug}"
