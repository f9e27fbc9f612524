"""The property of the live engine: after random commands every live answer equals a fresh read.

Real services, two gateways, several people. A fresh read asks the service itself, past every cache.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from deploy.local import LocalPortal
from gateway.queries import QUERIES
from libs.bus.rpc import Asker
from libs.contracts.base import Query, service_caller
from libs.contracts.common import NamedQuery
from libs.permissions import EVERYTHING, Grant, allows
from tests.portal import PASSWORD, Person, a_build, a_slug, a_tar, signed_in, somebody
from tests.system.live import LiveClient

STEPS = 104
CHECK_EVERY = 7
CONNECTIONS = 6
SUBSCRIPTIONS = 12
WITHIN_S = 60.0
ROLES = ("owner", "admin", "developer", "viewer")
VERSIONS = ("1.0.0", "1.1.0", "2.0.0")
# What a subscription ends with, as against an answer that is a problem.
ENDS = ("permission_missing", "organization_not_found")


# The id of no user.
NOBODY = "usr_none"


def said_by(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


@dataclass
class Org:
    slug: str
    id: str
    roles: dict[str, str]
    apps: list[str] = field(default_factory=list)
    environments: list[str] = field(default_factory=lambda: ["development", "production"])
    rollouts: list[str] = field(default_factory=list)
    # Teams, service accounts and keys by what paths call them; nobody here holds anything by them.
    teams: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)
    assignments: list[str] = field(default_factory=list)
    issuers: list[str] = field(default_factory=list)
    managed: list[str] = field(default_factory=list)


@dataclass
class Watch:
    """One subscription: what was asked, by whom, and whether they lost the right to it since."""

    name: str
    contract: type[Query[Any]]
    args: dict[str, Any]
    org: Org | None
    person: Person
    client: LiveClient
    denied: bool = False

    def permitted(self) -> bool:
        if self.org is None:
            return True
        if self.contract.permission is None:
            return True  # public
        role = self.org.roles.get(self.person.id)
        return role is not None and allows((Grant(role, self.org.id),), self.contract.permission, self.org.id)

    @property
    def answer(self) -> dict[str, Any] | None:
        return self.client.answers.get(self.name)

    @property
    def ended(self) -> bool:
        return bool(self.answer) and (self.answer or {}).get("error", {}).get("code") in ENDS

    def query(self) -> Query[Any]:
        """As the gateway would ask it."""
        args = dict(self.args)
        if self.org:
            args["org"] = self.org.id
        if self.org is None and "user" in self.contract.model_fields:
            args["user"] = self.person.id
        if "session" in self.contract.model_fields:
            args["session"] = said_by(self.client.token)["sid"]
        if self.contract.permission is not None:
            args |= dict.fromkeys(self.contract.parts(), EVERYTHING)
        return self.contract.model_validate(args)


class World:
    """Organizations as the test knows them, people, connections, and the commands that change it all."""

    def __init__(self, portal: LocalPortal, asker: Asker, seed: int) -> None:
        self.portal = portal
        self.asker = asker
        self.random = random.Random(seed)
        self.orgs: list[Org] = []
        self.people: list[Person] = []
        self.watches: list[Watch] = []
        self.clients: list[LiveClient] = []
        self.done: list[str] = []
        self.deck: list[Callable[[Org, Person], Awaitable[int]]] = []

    async def begin(self) -> None:
        self.people = [await somebody(self.portal.url) for _ in range(4)]
        for owner in self.people[:2]:
            slug = a_slug("live")
            made = await owner.call("POST", "/v1/orgs", 201, json={"slug": slug, "name": slug})
            self.orgs.append(Org(slug, made.json()["id"], {owner.id: "owner"}))
        for org in self.orgs:
            owner = self.person(next(iter(org.roles)))
            for other, role in zip(self.people[2:], ("developer", "viewer"), strict=True):
                await owner.invite(org.slug, other, role)
                org.roles[other.id] = role
            org.apps.append(await owner.make_app(org.slug, "orders"))
            await owner.publish(org.slug, "orders", "1.0.0", a_build())
        for number in range(CONNECTIONS):
            person = self.people[number % len(self.people)]
            gateway = self.portal.gateways[number % len(self.portal.gateways)]
            client = await LiveClient.open(gateway, person.token)
            self.clients.append(client)
            for _ in range(SUBSCRIPTIONS):
                await self.watch(person, client, self.random.choice(list(QUERIES.values())))
        # Every named query is watched by somebody who may, whatever the dice say.
        for contract in QUERIES.values():
            await self.watch(self.people[0], self.clients[0], contract, self.orgs[0])

    def person(self, user: str) -> Person:
        return next(person for person in self.people if person.id == user)

    async def watch(
        self, person: Person, client: LiveClient, contract: type[Query[Any]], org: Org | None = None
    ) -> None:
        org = org or self.random.choice(self.orgs)
        args = {
            name: value for name in contract.model_fields if (value := self.argument(name, org)) is not None
        }
        in_org = "org" in contract.model_fields
        if in_org and "user" in contract.model_fields:
            args["user"] = self.random.choice([*org.managed, NOBODY])
        watch = Watch(f"w{len(self.watches)}", contract, args, org if in_org else None, person, client)
        watch.denied = not watch.permitted()
        self.watches.append(watch)
        await client.subscribe(watch.name, contract.message, **args)

    def argument(self, name: str, org: Org) -> Any:
        """A value for a query's field; None leaves it out."""
        dice = self.random
        match name:
            case "org":
                return org.slug
            case "app":
                return dice.choice([*org.apps, "orders", "not-there-yet"])
            case "version":
                return dice.choice(VERSIONS)
            case "environment":
                return dice.choice([*org.environments, "not-there-yet"])
            case "rollout":
                return dice.choice([*org.rollouts, "rol_none"])
            case "limit":
                return dice.choice([None, 1, 2, 200])
            case "slug":
                return dice.choice([*org.teams, "not-there-yet"])
            case "account":
                return dice.choice([*org.accounts, "sva_none"])
            case "actor":
                return dice.choice([None, None, self.people[0].id])
            case "action":
                return dice.choice([None, None, "registry.*", "deploy.rollout_started"])
            case "outcome":
                return dice.choice([None, None, "done", "refused"])
            case "resource_prefix":
                return dice.choice([None, None, f"{org.id}/*"])
            case "issuer":
                return dice.choice([*org.issuers, "iss_none"])
            case (
                "user_name"
                | "external_id"
                | "session"
                | "user"
                | "visible"
                | "versions_of"
                | "live_at"
                | "cursor"
                | "since"
                | "until"
                | "trace"
            ):
                return None
            case other:
                raise AssertionError(f"the test knows no value for {other}: add one")

    # ---- commands ----

    async def step(self) -> None:
        dice = self.random
        org = dice.choice(self.orgs)
        # Mostly somebody who may, sometimes anybody: a refusal is an event too.
        owners = [person for person in self.people if org.roles.get(person.id) == "owner"]
        person = dice.choice(owners if dice.random() < 0.75 else self.people)
        if not self.deck:
            # Every command comes up equally often, in an order of its own.
            self.deck = [
                self.create_app, self.rename_app, self.publish, self.publish, self.roll_out, self.roll_out,
                self.roll_back, self.lock, self.create_environment, self.invite, self.set_role,
                self.remove, self.rename_org, self.sign_in, self.make_team, self.join_team,
                self.leave_team, self.define_role, self.make_account, self.make_key, self.revoke_key,
                self.assign, self.unassign, self.trust, self.provision, self.put_words,
            ]  # fmt: skip
            dice.shuffle(self.deck)
        command = self.deck.pop()
        status = await command(org, person)
        self.done.append(f"{command.__name__} {org.slug} by {person.email}: {status}")

    async def call(self, person: Person, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        response = await person.call(method, path, **kwargs)
        assert response.status_code < 500, response.text
        return response.status_code, response.json() if response.content else None

    async def create_app(self, org: Org, person: Person) -> int:
        slug = self.random.choice(["not-there-yet", a_slug("app")])
        body = {"slug": slug, "name": slug, "kind": "remote"}
        status, _ = await self.call(person, "POST", f"/v1/orgs/{org.slug}/apps", json=body)
        if status == 201:
            org.apps.append(slug)
        return status

    async def rename_app(self, org: Org, person: Person) -> int:
        path = f"/v1/orgs/{org.slug}/apps/{self.random.choice(org.apps)}"
        return (await self.call(person, "PATCH", path, json={"name": secrets.token_hex(4)}))[0]

    async def publish(self, org: Org, person: Person) -> int:
        app, version = self.random.choice(org.apps), self.random.choice(VERSIONS)
        files = a_build(name=app.replace("-", "_"), version=version)
        path = f"/v1/orgs/{org.slug}/apps/{app}/versions"
        upload = {"file": ("build.tar.gz", a_tar(files))}
        return (await self.call(person, "POST", path, files=upload, data={"version": version}))[0]

    async def roll_out(self, org: Org, person: Person) -> int:
        env = self.random.choice(org.environments)
        body = {"app": self.random.choice(org.apps), "version": self.random.choice(VERSIONS)}
        path = f"/v1/orgs/{org.slug}/environments/{env}/rollouts"
        status, made = await self.call(person, "POST", path, json=body)
        if status == 201:
            org.rollouts.append(made["id"])
        return status

    async def roll_back(self, org: Org, person: Person) -> int:
        env, app = self.random.choice(org.environments), self.random.choice(org.apps)
        path = f"/v1/orgs/{org.slug}/environments/{env}/apps/{app}/rollback"
        return (await self.call(person, "POST", path))[0]

    async def lock(self, org: Org, person: Person) -> int:
        path = f"/v1/orgs/{org.slug}/environments/{self.random.choice(org.environments)}"
        return (await self.call(person, "PATCH", path, json={"locked": self.random.random() < 0.4}))[0]

    async def create_environment(self, org: Org, person: Person) -> int:
        slug = self.random.choice(["not-there-yet", a_slug("env")])
        path = f"/v1/orgs/{org.slug}/environments"
        status, _ = await self.call(person, "POST", path, json={"slug": slug, "name": slug})
        if status == 201:
            org.environments.append(slug)
        return status

    async def invite(self, org: Org, person: Person) -> int:
        other, role = self.random.choice(self.people), self.random.choice(ROLES)
        body = {"email": other.email, "role": role}
        status, made = await self.call(person, "POST", f"/v1/orgs/{org.slug}/invitations", json=body)
        if status == 201 and self.random.random() < 0.7:
            status, accepted = await self.call(
                other, "POST", "/v1/invitations/accept", json={"token": made["token"]}
            )
            if status == 201:
                self.role_is(org, other.id, accepted["role"])
        return status

    async def set_role(self, org: Org, person: Person) -> int:
        other, role = self.random.choice(self.people), self.random.choice(ROLES)
        path = f"/v1/orgs/{org.slug}/members/{other.id}"
        status, made = await self.call(person, "PUT", path, json={"role": role})
        if status == 200:
            self.role_is(org, other.id, made["role"])
        return status

    async def remove(self, org: Org, person: Person) -> int:
        other = self.random.choice([one.id for one in self.people if one.id in org.roles])
        status, _ = await self.call(person, "DELETE", f"/v1/orgs/{org.slug}/members/{other}")
        if status == 204:
            self.role_is(org, other, None)
        return status

    async def rename_org(self, org: Org, person: Person) -> int:
        body = {"name": secrets.token_hex(4)}
        return (await self.call(person, "PATCH", f"/v1/orgs/{org.slug}", json=body))[0]

    async def make_team(self, org: Org, person: Person) -> int:
        slug = self.random.choice(["not-there-yet", a_slug("team")])
        path = f"/v1/orgs/{org.slug}/teams"
        status, _ = await self.call(person, "POST", path, json={"slug": slug, "name": slug})
        if status == 201:
            org.teams.append(slug)
        return status

    async def join_team(self, org: Org, person: Person) -> int:
        return await self.team_member(org, person, "PUT")

    async def leave_team(self, org: Org, person: Person) -> int:
        return await self.team_member(org, person, "DELETE")

    async def team_member(self, org: Org, person: Person, method: str) -> int:
        team, other = self.random.choice([*org.teams, "nobodys"]), self.random.choice(self.people)
        return (await self.call(person, method, f"/v1/orgs/{org.slug}/teams/{team}/members/{other.id}"))[0]

    async def define_role(self, org: Org, person: Person) -> int:
        role = self.random.choice(["auditor", a_slug("role")])
        body = {"role": role, "name": role, "permissions": ["audit:read", "org:read"]}
        return (await self.call(person, "POST", f"/v1/orgs/{org.slug}/roles", json=body))[0]

    async def make_account(self, org: Org, person: Person) -> int:
        body = {"slug": a_slug("ci"), "name": "CI"}
        status, made = await self.call(person, "POST", f"/v1/orgs/{org.slug}/service-accounts", json=body)
        if status == 201:
            org.accounts.append(made["id"])
        return status

    async def make_key(self, org: Org, person: Person) -> int:
        account = self.random.choice([*org.accounts, "sva_none"])
        path = f"/v1/orgs/{org.slug}/service-accounts/{account}/keys"
        status, made = await self.call(person, "POST", path, json={"name": "key"})
        if status == 201:
            org.keys.append((account, made["id"]))
        return status

    async def revoke_key(self, org: Org, person: Person) -> int:
        account, key = self.random.choice([*org.keys, ("sva_none", "key_none")])
        path = f"/v1/orgs/{org.slug}/service-accounts/{account}/keys/{key}"
        return (await self.call(person, "DELETE", path))[0]

    async def assign(self, org: Org, person: Person) -> int:
        subject = {"type": "service_account", "id": self.random.choice([*org.accounts, "sva_0"])}
        resource = self.random.choice([org.slug, f"{org.slug}/orders", f"{org.slug}/orders/production"])
        body = {"subject": subject, "role": "viewer", "resource": resource}
        status, made = await self.call(person, "POST", f"/v1/orgs/{org.slug}/assignments", json=body)
        if status == 201:
            org.assignments.append(made["id"])
        return status

    async def unassign(self, org: Org, person: Person) -> int:
        name = self.random.choice([*org.assignments, "asg_0"])
        return (await self.call(person, "DELETE", f"/v1/orgs/{org.slug}/assignments/{name}"))[0]

    async def trust(self, org: Org, person: Person) -> int:
        settings = {"kind": "oidc", "issuer": f"https://{a_slug('id')}.example.org", "audiences": ["us"]}
        body = {"name": "Ours", "settings": settings}
        status, made = await self.call(person, "POST", f"/v1/orgs/{org.slug}/identity-providers", json=body)
        if status == 201:
            org.issuers.append(made["id"])
        return status

    async def provision(self, org: Org, person: Person) -> int:
        """Somebody new, or another name for somebody who was."""
        path = f"/v1/orgs/{org.slug}/managed-users"
        if org.managed and self.random.random() < 0.5:
            managed = self.random.choice(org.managed)
            body = {"name": secrets.token_hex(4), "active": self.random.random() < 0.7}
            return (await self.call(person, "PATCH", f"{path}/{managed}", json=body))[0]
        status, made = await self.call(person, "POST", path, json={"user_name": a_slug("grace")})
        if status == 201:
            org.managed.append(made["id"])
        return status

    async def put_words(self, org: Org, person: Person) -> int:
        body = {"resources": {secrets.token_hex(3): "application"}}
        return (await self.call(person, "PUT", f"/v1/orgs/{org.slug}/vocabulary", json=body))[0]

    async def sign_in(self, org: Org, person: Person) -> int:
        """Another session, over which the same person reads and watches on."""
        again = await signed_in(self.portal.url, person.email, PASSWORD, person.id)
        await again.http.aclose()
        number = self.random.randrange(len(self.clients))
        client = self.clients[number]
        owner = next(watch.person for watch in self.watches if watch.client is client)
        await self.watch(owner, client, self.random.choice(list(QUERIES.values())))
        return 201

    def role_is(self, org: Org, user: str, role: str | None) -> None:
        org.roles.pop(user, None)
        if role:
            org.roles[user] = role
        for watch in self.watches:
            watch.denied = watch.denied or not watch.permitted()

    # ---- the property ----

    async def fresh(self, watches: list[Watch]) -> dict[str, dict[str, Any]]:
        """The services' own answers now, by what was asked."""
        found: dict[str, dict[str, Any]] = {}
        for watch in watches:
            query = watch.query()
            key = query.message + query.model_dump_json()
            if key not in found:
                named = NamedQuery(query=query.message, args=query.model_dump(mode="json"))
                read = await self.asker.read(query.owner, query.tenant(), (named,), service_caller("gateway"))
                one = read.answers[0]
                found[key] = {"error": one.problem.code} if one.problem else {"value": one.value}
        return found

    async def check(self) -> None:
        """Waits until every live answer equals a fresh read, and ended is exactly what had to end."""
        deadline = time.monotonic() + WITHIN_S
        while wrong := await self.differences():
            for client in self.clients:
                if client.fault:
                    raise client.fault
            if time.monotonic() > deadline:
                history = "\n".join(self.done)
                raise AssertionError(
                    f"{len(wrong)} live answers differ:\n" + "\n".join(wrong) + "\n" + history
                )
            await self.clients[0].any_change(0.1)

    async def differences(self) -> list[str]:
        fresh = await self.fresh([watch for watch in self.watches if not watch.ended])
        wrong = []
        for watch in self.watches:
            if watch.ended:
                if not watch.denied:
                    wrong.append(f"{watch.name} {watch.contract.message} ended, but the right was never lost")
                continue
            if not watch.permitted():
                wrong.append(f"{watch.name} {watch.contract.message} goes on without the right")
                continue
            query = watch.query()
            difference = compared(watch.answer, fresh[query.message + query.model_dump_json()])
            if difference:
                wrong.append(f"{watch.name} {watch.contract.message} {watch.args}: {difference}")
        return wrong


def compared(live: dict[str, Any] | None, fresh: dict[str, Any]) -> str | None:
    """What is wrong with a live answer, if anything is."""
    if live is None:
        return "no answer yet"
    seen = {"error": live["error"]["code"]} if "error" in live else {"value": live["value"]}
    return None if seen == fresh else f"live {str(seen)[:300]} but fresh {str(fresh)[:300]}"


@pytest.fixture
async def asker(portal: LocalPortal) -> AsyncIterator[Asker]:
    asker = Asker(portal.amqp_url("gateway"), "property test")
    await asker.start()
    await asker.opened(10)
    yield asker
    await asker.stop()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_live_answer_equals_a_fresh_read(portal: LocalPortal, asker: Asker, seed: int) -> None:
    world = World(portal, asker, seed)
    await world.begin()
    await world.check()
    for number in range(STEPS):
        await world.step()
        if number % CHECK_EVERY == 0:
            await world.check()
    await world.check()
    # Enough came of it for the property to mean something.
    succeeded = {line.split()[0] for line in world.done if line.rsplit(" ", 1)[1] in ("200", "201", "204")}
    assert len(succeeded) >= 8, world.done
    assert {watch.contract for watch in world.watches} == set(QUERIES.values())
    assert sum(len(client.frames) for client in world.clients) > STEPS
    # A whole organization goes: every subscription of its members ends, and no other.
    org = world.orgs[0]
    owner = next(world.person(user) for user, role in org.roles.items() if role == "owner")
    await owner.call("DELETE", f"/v1/orgs/{org.slug}", 204)
    for user in list(org.roles):
        world.role_is(org, user, None)
    for watch in world.watches:
        # What is public may go as well.
        watch.denied = watch.denied or watch.org is org
    await world.check()
    await asyncio.gather(*(client.close() for client in world.clients))
    for person in world.people:
        await person.http.aclose()


def test_the_comparison_notices_what_differs() -> None:
    assert compared({"value": {"revision": 1}}, {"value": {"revision": 1}}) is None
    assert compared({"value": {"revision": 1}}, {"value": {"revision": 2}})
    assert compared({"error": {"code": "app_not_found"}}, {"value": {}})
    assert compared(None, {"value": {}})
