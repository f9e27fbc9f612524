"""An organization made by dice: its people and keys, and what each of them holds by the test's own reckoning.

Nothing here asks the portal who may do what. The grants follow from what the test itself did; only the
permission function (`libs.permissions.allows`) is the portal's.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx

from deploy.local import LocalPortal
from libs.permissions import ROLES, Grant, allows
from tests.portal import Person, somebody

ENVIRONMENTS = ("development", "staging", "production", "canary")
# Of what a random role is made: whatever shows something, and some that show nothing.
POOL = (
    "app:read", "version:read", "rollout:read", "audit:read", "assignment:read", "environment:read",
    "member:read", "team:read", "role:read", "account:read", "rollout:start", "version:publish",
)  # fmt: skip
PEOPLE, TEAMS, APPS = 4, 3, 5


@dataclass
class Reader:
    """A member, or a key of a service account, with what the key is limited to."""

    name: str
    subject: str
    token: str
    http: httpx.AsyncClient
    gateway: str
    limit_permissions: frozenset[str] | None = None
    limit_path: str = ""


@dataclass
class Held:
    subject: str
    role: str
    path: str


@dataclass
class World:
    """The organization as the test made it."""

    dice: random.Random
    portal: LocalPortal
    owner: Person
    slug: str
    id: str
    members: dict[str, str] = field(default_factory=dict)
    roles: dict[str, frozenset[str]] = field(default_factory=dict)
    # By slug; ids and who is in them.
    team_ids: dict[str, str] = field(default_factory=dict)
    teams: dict[str, set[str]] = field(default_factory=dict)
    assignments: dict[str, Held] = field(default_factory=dict)
    accounts: dict[str, list[str]] = field(default_factory=dict)
    apps: list[str] = field(default_factory=list)
    versions: dict[str, list[str]] = field(default_factory=dict)
    readers: list[Reader] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    @property
    def below(self) -> str:
        return f"/v1/orgs/{self.slug}"

    # ---- what everybody holds ----

    def grants(self, reader: Reader) -> tuple[Grant, ...]:
        mine = {
            reader.subject,
            *(self.team_ids[team] for team, who in self.teams.items() if reader.subject in who),
        }
        held = [(one.role, one.path) for one in self.assignments.values() if one.subject in mine]
        if reader.subject in self.members:
            held.append((self.members[reader.subject], ""))
        found = []
        for role, path in held:
            permissions = self.roles[role] if role in self.roles else ROLES[role]
            if reader.limit_permissions is not None:
                permissions &= reader.limit_permissions
            where = _deeper(path, reader.limit_path)
            if where is not None and permissions:
                found.append(Grant("held", f"{self.id}/{where}" if where else self.id, permissions))
        return tuple(found)

    def may(self, reader: Reader, permission: str, path: str = "") -> bool:
        return allows(self.grants(reader), permission, f"{self.id}/{path}" if path else self.id)

    def anywhere(self, reader: Reader, permission: str) -> bool:
        return any(permission in grant.permissions for grant in self.grants(reader))

    def knows_nothing_of(self, reader: Reader, app: str) -> bool:
        """No grant touches the application, and none shows lists in which its name may well stand."""
        grants = self.grants(reader)
        touching = (f"{self.id}/{app}", self.id)
        broad = {"audit:read", "assignment:read", "account:read"}
        return not any(
            (grant.resource in touching or grant.resource.startswith(f"{self.id}/{app}/"))
            and (
                grant.resource != self.id
                or grant.permissions & ({"app:read", "version:read", "rollout:read"} | broad)
            )
            for grant in grants
        )

    # ---- making it ----

    async def fill(self) -> None:
        dice, owner = self.dice, self.owner
        stem = f"app-{secrets.token_hex(4)}"
        # Names that begin alike, so that what is compared by beginnings is seen.
        self.apps = [
            stem,
            f"{stem}-admin",
            f"{stem}x",
            *(f"app-{secrets.token_hex(4)}" for _ in range(APPS - 3)),
        ]
        for app in self.apps:
            await owner.make_app(self.slug, app)
            self.versions[app] = []
            for number in range(dice.randint(1, 3)):
                await self.publish(app, number)
        await self.make_canary()
        for _ in range(8):
            await self.roll_out()
        fixed = [
            {"app:read"},
            {"app:read", "version:read"},
            {"audit:read"},
            {"rollout:read", "rollout:start"},
        ]
        rolled = [set(dice.sample(POOL, dice.randint(2, 6))) for _ in range(3)]
        for number, permissions in enumerate([*fixed, *rolled]):
            await self.define(f"role-{number}", permissions)
        for number in range(PEOPLE):
            person = await somebody(self.portal.gateways[number % len(self.portal.gateways)])
            # The first is the one of the issue: somebody who is merely a member.
            role = (
                "member" if number == 0 else dice.choice(["member", "member", "viewer", "role-4", "role-5"])
            )
            await owner.invite(self.slug, person, role)
            self.members[person.id] = role
            self.people.append(person)
            gateway = str(person.http.base_url).rstrip("/")
            self.readers.append(Reader(f"person {number}", person.id, person.token, person.http, gateway))
        for number in range(TEAMS):
            made = await owner.call(
                "POST", f"{self.below}/teams", 201, json={"slug": f"team-{number}", "name": f"Team {number}"}
            )
            self.team_ids[f"team-{number}"] = made.json()["id"]
            self.teams[f"team-{number}"] = set()
            for person in dice.sample(self.people, 2):
                await self.join(f"team-{number}", person.id)
        for _ in range(2):
            await self.make_account()
        # A team of developers with an application of its own.
        await self.assign(self.team_ids["team-0"], "developer", self.apps[0])
        for _ in range(9):
            await self.assign(self.somebody_at_all(), dice.choice([*self.roles, "viewer"]), self.somewhere())
        await self.add_the_limited()
        # More names than a page asks for, of applications that are not there.
        await self.assign(self.people[0].id, "viewer", "aaa-not-there")
        await self.assign(self.people[0].id, "viewer", "zzz-not-there")

    async def add_the_limited(self) -> None:
        """Somebody on whom the dice have no bearing: of each kind of right a little, each on another part."""
        person = await somebody(self.portal.gateways[0])
        await self.owner.invite(self.slug, person, "member")
        self.members[person.id] = "member"
        self.readers.append(
            Reader("the limited", person.id, person.token, person.http, self.portal.gateways[0])
        )
        for environment in ("staging", "production"):
            await self.owner.call(
                "POST",
                f"{self.below}/environments/{environment}/rollouts",
                json={"app": self.apps[1], "version": "1.0.0"},
            )
        await self.assign(person.id, "role-1", self.apps[1])
        await self.assign(person.id, "role-3", f"{self.apps[1]}/staging")
        await self.assign(person.id, "role-2", self.apps[2])
        await self.assign(person.id, "role-0", self.apps[3])

    def somebody_at_all(self) -> str:
        return self.dice.choice([*self.team_ids.values(), *(one.id for one in self.people), *self.accounts])

    def somewhere(self) -> str:
        """A part of the tree; seldom all of it."""
        app = self.dice.choice(self.apps)
        return self.dice.choice(["", app, app, app, f"{app}/{self.dice.choice(ENVIRONMENTS)}"])

    async def make_canary(self) -> None:
        body = {"slug": "canary", "name": "Canary"}
        await self.owner.call("POST", f"{self.below}/environments", 201, json=body)

    async def publish(self, app: str, number: int) -> None:
        version = f"1.{number}.0"
        await self.owner.publish(self.slug, app, version)
        self.versions[app].append(version)

    async def roll_out(self) -> None:
        app, environment = self.dice.choice(self.apps), self.dice.choice(ENVIRONMENTS)
        version = self.dice.choice(self.versions[app])
        body = {"app": app, "version": version}
        answer = await self.owner.call("POST", f"{self.below}/environments/{environment}/rollouts", json=body)
        assert answer.status_code in (201, 409), answer.text

    async def roll_back(self) -> None:
        app, environment = self.dice.choice(self.apps), self.dice.choice(ENVIRONMENTS)
        answer = await self.owner.call("POST", f"{self.below}/environments/{environment}/apps/{app}/rollback")
        assert answer.status_code in (201, 409), answer.text

    async def define(self, role: str, permissions: set[str]) -> None:
        body = {"permissions": sorted(permissions)}
        if role in self.roles:
            await self.owner.call("PATCH", f"{self.below}/roles/{role}", 200, json=body)
        else:
            body |= {"role": role, "name": role}  # type: ignore[dict-item]
            await self.owner.call("POST", f"{self.below}/roles", 201, json=body)
        self.roles[role] = frozenset(permissions)
        self.done.append(f"{role} allows {sorted(permissions)}")

    async def join(self, team: str, user: str) -> None:
        await self.owner.call("PUT", f"{self.below}/teams/{team}/members/{user}", 200)
        self.teams[team].add(user)
        self.done.append(f"{user} joins {team}")

    async def leave(self, team: str, user: str) -> None:
        await self.owner.call("DELETE", f"{self.below}/teams/{team}/members/{user}", 204)
        self.teams[team].remove(user)
        self.done.append(f"{user} leaves {team}")

    async def become(self, user: str, role: str) -> None:
        await self.owner.call("PUT", f"{self.below}/members/{user}", 200, json={"role": role})
        self.members[user] = role
        self.done.append(f"{user} becomes {role}")

    async def assign(self, subject: str, role: str, path: str) -> None:
        kind = {"usr": "user", "sva": "service_account"}.get(subject[:3], "team")
        resource = f"{self.slug}/{path}" if path else self.slug
        body = {"subject": {"type": kind, "id": subject}, "role": role, "resource": resource}
        made = await self.owner.call("POST", f"{self.below}/assignments", 201, json=body)
        self.assignments[made.json()["id"]] = Held(subject, role, path)
        self.done.append(f"{subject} is {role} on {path or 'everything'}")

    async def unassign(self, name: str) -> None:
        await self.owner.call("DELETE", f"{self.below}/assignments/{name}", 204)
        gone = self.assignments.pop(name)
        self.done.append(f"{gone.subject} is {gone.role} on {gone.path or 'everything'} no longer")

    async def make_account(self) -> None:
        body = {"slug": f"ci-{len(self.accounts)}", "name": "CI"}
        made = await self.owner.call("POST", f"{self.below}/service-accounts", 201, json=body)
        account = made.json()["id"]
        self.accounts[account] = []
        keys = f"{self.below}/service-accounts/{account}/keys"
        for _ in range(2):
            permissions = self.dice.choice([None, frozenset(self.dice.sample(POOL, 5)) | {"app:read"}])
            path = self.dice.choice(["", self.somewhere()])
            scope: dict[str, Any] = {"name": "key", "resource": f"{self.slug}/{path}" if path else self.slug}
            if permissions is not None:
                scope["permissions"] = sorted(permissions)
            text = (await self.owner.call("POST", keys, 201, json=scope)).json()["key"]
            gateway = self.dice.choice(self.portal.gateways)
            http = httpx.AsyncClient(
                base_url=gateway, headers={"authorization": f"Bearer {text}"}, timeout=20
            )
            name = f"key {len(self.accounts)}.{len(self.accounts[account])} of {permissions} on {path}"
            self.accounts[account].append(text)
            self.readers.append(Reader(name, account, text, http, gateway, permissions, path))

    # ---- changing it ----

    async def change_rights(self) -> None:
        """One change of who may do what, by dice."""
        team, person = self.dice.choice(list(self.teams)), self.dice.choice(self.people).id
        match self.dice.randrange(5):
            case 0 if person in self.teams[team]:
                await self.leave(team, person)
            case 0:
                await self.join(team, person)
            case 1:
                await self.unassign(self.dice.choice(list(self.assignments)))
            case 2:
                role = self.dice.choice([role for role in self.roles if role > "role-3"])
                await self.define(role, set(self.dice.sample(POOL, self.dice.randint(2, 6))))
            case 3:
                await self.become(person, self.dice.choice(["member", "viewer", "role-4"]))
            case _:
                await self.assign(
                    self.somebody_at_all(), self.dice.choice(list(self.roles)), self.somewhere()
                )

    async def change_content(self) -> None:
        """A version, a rollout and a rollback, somewhere."""
        app = self.dice.choice(self.apps)
        await self.publish(app, len(self.versions[app]))
        await self.roll_out()
        await self.roll_back()

    async def close(self) -> None:
        for client in [self.owner.http, *(reader.http for reader in self.readers)]:
            await client.aclose()


async def a_world(portal: LocalPortal, seed: int, filled: bool = True) -> World:
    owner = await somebody(portal.gateways[0])
    slug = await owner.make_org()
    described = (await owner.call("GET", f"/v1/orgs/{slug}", 200)).json()
    world = World(random.Random(seed), portal, owner, slug, described["id"])
    world.members[owner.id] = "owner"
    if filled:
        await world.fill()
    return world


def _deeper(path: str, limit: str) -> str | None:
    """The part of the tree that lies in both, if there is one."""
    for upper, lower in ((path, limit), (limit, path)):
        if upper in ("", lower) or lower.startswith(f"{upper}/"):
            return lower
    return None
