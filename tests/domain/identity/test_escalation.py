"""No sequence of allowed acts gives anybody a permission that nobody who acted held.

The rules are identity's own; what each caller holds comes from the events that they emitted, through the same
picture that a gateway decides from. The owner founds the organization, prepares it, and acts no more: what
the others can come to then, they have to come to by themselves.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.access import OrganizationAccess
from libs.contracts.base import Caller, Event
from libs.contracts.envelope import Fact
from libs.contracts.identity import (
    ApiKey,
    Assignment,
    AssignRole,
    CreateKey,
    CreateServiceAccount,
    CreateTeam,
    DefineRole,
    InviteMember,
    KeyScope,
    Member,
    RemoveMember,
    RoleDefinition,
    ServiceAccount,
    SetMember,
    Subject,
    Team,
    TeamMember,
    UpdateRole,
)
from libs.errors import Refusal
from libs.permissions import ORGANIZATION_PERMISSIONS, Grant, allows, decide, narrowed
from services.identity.accounts import domain as accounts
from services.identity.assignments import domain as assignments
from services.identity.invitations import domain as invitations
from services.identity.members import domain as members
from services.identity.organizations.domain import Org
from services.identity.roles import domain as roles
from services.identity.teams import domain as teams
from tests.domain.identity.builders import NOW, ORG, an_account, an_org

PEOPLE = ("usr_owner", "usr_admin", "usr_lead", "usr_dev", "usr_away", "usr_new")
OWN_ROLES = ("r1", "r2")
TEAMS = ("t1", "t2")
PATHS = ("", "orders", "orders/production", "stock")
NODES = tuple(f"{ORG}/{path}" if path else ORG for path in (*PATHS, "stock/production", "other"))
# Few enough for the search to come back to the same ones.
POWERS = ("app:read", "app:update", "role:update", "team:update", "assignment:update", "account:update",
          "member:update", "member:invite", "org:delete")  # fmt: skip

Power = tuple[str, str]
callers = st.sampled_from(PEOPLE[1:])
people = st.sampled_from(PEOPLE)
paths = st.sampled_from(PATHS)
subjects = st.sampled_from((*PEOPLE, "tea_t1", "tea_t2", "sva_ci"))
permission_sets = st.lists(st.sampled_from(POWERS), max_size=4, unique=True).map(tuple)
role_names = st.sampled_from(("member", "viewer", "developer", "admin", "owner", *OWN_ROLES))


class Acts(RuleBasedStateMachine):
    """One organization, and what its people do to it."""

    def __init__(self) -> None:
        super().__init__()
        self.access = OrganizationAccess(ORG)
        self.sequence = 0
        self.org: Org = an_org("usr_owner")
        self.members: dict[str, Member] = {}
        self.roles: dict[str, RoleDefinition] = {}
        self.teams: dict[str, Team] = {}
        self.inside: dict[tuple[str, str], TeamMember] = {}
        self.assigned: dict[str, Assignment] = {}
        self.account: ServiceAccount | None = None
        # What each key can do, by who has it in hand.
        self.in_hand: dict[str, list[ApiKey]] = {person: [] for person in PEOPLE}
        # What those who acted held, at the time.
        self.acted_with: set[Power] = set()
        # What everybody could do before anybody of these acted.
        self.given: dict[str, set[Power]] = {}

    # ---- how it is done ----

    def tell(self, events: list[Event]) -> None:
        for event in events:
            if event.tenant() != ORG:
                continue
            self.sequence += 1
            fact = Fact(
                service="identity",
                org=ORG,
                sequence=self.sequence,
                type=event.message,
                subject=event.resource(),
                time=NOW,
                data=event.model_dump(mode="json"),
                topics=event.topics(),
                permission=event.permission,
                summary=event.summary(),
                actor="usr_x",
                actor_name="",
            )
            self.access.apply(fact)

    def caller(self, user: str) -> Caller:
        return Caller(subject=user, grants=tuple(self.grants(user)))

    def grants(self, user: str) -> list[Grant]:
        """With the keys that they have in hand: who holds a key can do what it can."""
        held = list(self.access.grants(user))
        for key in self.in_hand[user]:
            held += narrowed(self.access.grants(key.account), [accounts.limit(ORG, key.scope)])
        return held

    def powers(self, user: str) -> set[Power]:
        held = self.grants(user)
        return {
            (permission, resource)
            for permission in ORGANIZATION_PERMISSIONS
            for resource in NODES
            if allows(held, permission, resource)
        }

    def permissions(self, role: str) -> tuple[str, ...]:
        return roles.permissions_of(role, self.roles.get(role))

    def act(self, user: str, permission: str | None, resource: str = ORG) -> Caller | None:
        """The caller, if the edge lets them through; from here on they count as having acted."""
        caller = self.caller(user)
        if permission and not allows(caller.grants, permission, resource):
            return None
        self.acted_with |= self.powers(user)
        return caller

    @initialize()
    def found(self) -> None:
        founder, events = members.found(self.org, an_account("usr_owner"), NOW)
        self.members["usr_owner"] = founder
        self.tell(events)
        owner = self.caller("usr_owner")
        for user, role in (
            ("usr_admin", "admin"),
            ("usr_lead", "member"),
            ("usr_dev", "developer"),
            ("usr_away", "member"),
        ):
            self.org, member, events = members.join(self.org, None, an_account(user), role, NOW)
            self.members[user] = member
            self.tell(events)
        # A lead who keeps teams and roles and can do little else; a team that can do much.
        lead = ("team:update", "role:update", "assignment:update", "account:update", "app:read")
        for name, permissions in (("r1", lead), ("r2", ("org:delete", "app:update"))):
            command = DefineRole(org=ORG, role=name, name=name, permissions=permissions)
            self.roles[name], events = roles.define(None, 0, command, owner)
            self.tell(events)
        for slug in TEAMS:
            command_ = CreateTeam(org=ORG, slug=slug, name=slug)
            self.teams[slug], events = teams.create(None, command_, f"tea_{slug}", NOW)
            self.tell(events)
        made = CreateServiceAccount(org=ORG, slug="ci", name="CI")
        self.account, events = accounts.create(None, made, "sva_ci", "usr_owner", NOW)
        self.tell(events)
        for kind, subject, role, path in (
            ("team", "tea_t2", "r2", ""),
            ("user", "usr_lead", "r1", "orders"),
            ("user", "usr_lead", "r1", ""),
            ("service_account", "sva_ci", "admin", "stock"),
        ):
            self.assign_as(owner, kind, subject, role, path)
        # Who is suspended holds what was held only once somebody who holds it lets them back.
        self.change_member_as(owner, "usr_away", "r2", False)
        self.given = {user: self.powers(user) for user in PEOPLE}

    def assign_as(self, caller: Caller, kind: Any, subject: str, role: str, path: str) -> None:
        command = AssignRole(org=ORG, subject=Subject(type=kind, id=subject), role=role, path=path)
        existing = self.assigned.get(assignments.id_of(command))
        permissions = self.permissions(role)
        made, events = assignments.assign(existing, [], command, permissions, caller, NOW)
        self.assigned[made.id] = made
        self.tell(events)

    # ---- acts ----

    @rule(by=callers, name=st.sampled_from(OWN_ROLES), permissions=permission_sets)
    def update_role(self, by: str, name: str, permissions: tuple[str, ...]) -> None:
        if caller := self.act(by, "role:update"):
            command = UpdateRole(org=ORG, role=name, permissions=permissions)
            try:
                self.roles[name], events = roles.update(self.roles.get(name), command, caller)
            except Refusal:
                return
            self.tell(events)

    @rule(
        by=callers, whom=st.sampled_from((*PEOPLE, "tea_t1", "tea_t2", "sva_ci")), role=role_names, path=paths
    )
    def assign(self, by: str, whom: str, role: str, path: str) -> None:
        if whom in PEOPLE and whom not in self.members:
            return
        kind = {"usr": "user", "tea": "team", "sva": "service_account"}[whom[:3]]
        if caller := self.act(by, "assignment:update", f"{ORG}/{path}" if path else ORG):
            try:
                self.assign_as(caller, kind, whom, role, path)
            except Refusal:
                return

    @rule(by=callers, data=st.data())
    def unassign(self, by: str, data: st.DataObject) -> None:
        if not self.assigned:
            return
        name = data.draw(st.sampled_from(sorted(self.assigned)))
        if caller := self.act(by, None):
            try:
                _, events = assignments.remove(self.assigned[name], ORG, name, caller)
            except Refusal:
                return
            gone = self.assigned.pop(name)
            before = {user: self.powers(user) for user in PEOPLE}
            self.tell(events)
            self.took_exactly(gone, before)

    def took_exactly(self, gone: Assignment, before: dict[str, set[Power]]) -> None:
        """Removing an assignment removes what it gave, less what its holders hold otherwise."""
        for user in PEOPLE:
            lost = before[user] - self.powers(user)
            node = f"{ORG}/{gone.path}" if gone.path else ORG
            gave = [Grant(gone.role, node, frozenset(self.permissions(gone.role)))]
            for permission, resource in lost:
                assert decide(gave, permission, resource).allowed

    @rule(by=callers, slug=st.sampled_from(TEAMS), user=people)
    def join_team(self, by: str, slug: str, user: str) -> None:
        team, member = self.teams[slug], self.members.get(user)
        if member is None:
            return
        if caller := self.act(by, "team:update"):
            held = [one for one in self.assigned.values() if one.subject.id == team.id]
            permissions = {one.role: self.permissions(one.role) for one in held}
            existing = self.inside.get((team.id, user))
            try:
                line, events = teams.add(team, existing, member, held, permissions, ORG, caller, NOW)
            except Refusal:
                return
            self.inside[team.id, user] = line
            self.tell(events)

    @rule(by=callers, slug=st.sampled_from(TEAMS), user=people)
    def leave_team(self, by: str, slug: str, user: str) -> None:
        team = self.teams[slug]
        if self.act(by, "team:update") and (team.id, user) in self.inside:
            _, events = teams.remove(team, self.inside.pop((team.id, user)), ORG, user)
            self.tell(events)

    @rule(by=callers, permissions=st.none() | permission_sets, path=paths)
    def make_key(self, by: str, permissions: tuple[str, ...] | None, path: str) -> None:
        if caller := self.act(by, "account:update"):
            scope = KeyScope(permissions=permissions, path=path)
            command = CreateKey(org=ORG, account="sva_ci", name="key", scope=scope)
            held = self.access.grants("sva_ci")
            try:
                key, events = accounts.issue(command, f"key_{self.sequence}", "mesk_x", 0, held, caller, NOW)
            except Refusal:
                return
            self.in_hand[by].append(key)
            self.tell(events)

    @rule(
        by=callers,
        user=people,
        role=st.sampled_from((None, "member", "r2")),
        active=st.sampled_from((None, True, False)),
    )
    def change_member(self, by: str, user: str, role: str | None, active: bool | None) -> None:
        if user not in self.members:
            return
        if caller := self.act(by, "member:update"):
            try:
                self.change_member_as(caller, user, role, active)
            except Refusal:
                return

    def change_member_as(self, caller: Caller, user: str, role: str | None, active: bool | None) -> None:
        member = self.members[user]
        command = SetMember(org=ORG, user=user, role=role, active=active)
        permissions = self.permissions(role or member.role)
        self.org, moved, events = members.change(self.org, member, command, permissions, caller)
        self.members[user] = moved
        self.tell(events)

    @rule(by=callers, user=people, role=role_names)
    def invite(self, by: str, user: str, role: str) -> None:
        if user in self.members:
            return
        if caller := self.act(by, "member:invite"):
            command = InviteMember(org=ORG, email=f"{user}@example.com", role=role)
            try:
                invited, _ = invitations.invite(None, command, "inv_1", self.permissions(role), caller, NOW)
                self.org, member, events = members.join(self.org, None, an_account(user), invited.role, NOW)
            except Refusal:
                return
            self.members[user] = member
            self.tell(events)

    @rule(by=callers, user=people)
    def remove_member(self, by: str, user: str) -> None:
        if caller := self.act(by, None):
            command = RemoveMember(org=ORG, user=user)
            try:
                self.org, member, events = members.remove(self.org, self.members.get(user), command, caller)
            except Refusal:
                return
            held = [one for one in self.assigned.values() if one.subject.id == user]
            for one in held:
                del self.assigned[one.id]
            left = [key for key in self.inside if key[1] == user]
            for team, _ in left:
                del self.inside[team, user]
                slug = next(slug for slug in TEAMS if self.teams[slug].id == team)
                self.tell(teams.remove(self.teams[slug], _line(team, member), ORG, user)[1])
            del self.members[member.user]
            self.tell([*assignments.gone(ORG, held), *events])

    # ---- what has to hold ----

    @invariant()
    def nobody_can_what_nobody_who_acted_could(self) -> None:
        for user in PEOPLE:
            gained = self.powers(user) - self.given.get(user, set())
            assert gained <= self.acted_with, f"{user} gained {sorted(gained - self.acted_with)}"

    @invariant()
    def there_is_an_owner(self) -> None:
        owners = {user for user, one in self.members.items() if one.role == "owner" and one.active}
        assert not self.members or owners == set(self.org.owners) != set()


def _line(team: str, member: Member) -> TeamMember:
    return TeamMember(
        team=team, user=member.user, email=member.email, name=member.name, since=NOW, revision=1
    )


Acts.TestCase.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
TestActs = Acts.TestCase
