"""What a gateway makes of events, step by step, equals what follows from the facts that stand at that moment.

The model beside it is as simple as can be: lists of facts, and everything computed anew each time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.access import MEMBERSHIP, OrganizationAccess
from libs.contracts.base import Event
from libs.contracts.envelope import Fact
from libs.contracts.identity import (
    AssignmentRemoved,
    MemberRemoved,
    MemberSet,
    RoleAssigned,
    RoleDefined,
    RoleDeleted,
    ServiceAccountCreated,
    ServiceAccountDeleted,
    TeamCreated,
    TeamDeleted,
    TeamMemberAdded,
    TeamMemberRemoved,
)
from libs.permissions import ROLES, Grant, allows

ORG = "org_1"
USERS = ("usr_1", "usr_2", "usr_3")
TEAMS = ("tea_1", "tea_2")
ACCOUNTS = ("sva_1",)
BUILT_IN, OWN = ("member", "viewer", "developer", "admin"), ("r1", "r2")
PATHS = ("", "a", "a/b", "ab")
NODES = tuple(f"{ORG}/{path}" if path else ORG for path in (*PATHS, "a/c", "b", "ab/b"))
ALLOWED = ("org:read", "app:read", "app:update", "org:delete")

users, teams = st.sampled_from(USERS), st.sampled_from(TEAMS)
role_names = st.sampled_from((*BUILT_IN, *OWN))
permission_sets = st.lists(st.sampled_from(ALLOWED), max_size=3, unique=True).map(tuple)


def a_fact(event: Event, sequence: int) -> Fact:
    return Fact(
        service="identity",
        org=ORG,
        sequence=sequence,
        type=event.message,
        subject=event.resource(),
        time=datetime(2026, 1, 1, tzinfo=UTC),
        data=event.model_dump(mode="json"),
        topics=event.topics(),
    )


class Assigned(NamedTuple):
    name: str
    subject: str
    role: str
    path: str


class Follows(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.access = OrganizationAccess(ORG)
        self.sequence = 0
        # The facts that stand.
        self.members: dict[str, str] = {}
        self.roles: dict[str, tuple[str, ...]] = {}
        self.teams: dict[str, set[str]] = {}
        self.assigned: list[Assigned] = []
        self.accounts: set[str] = set()

    def tell(self, event: Event) -> None:
        """Whoever's rights it moves is named, so that live subscriptions are looked at again."""
        self.sequence += 1
        before = {subject: self.powers(subject) for subject in (*USERS, *ACCOUNTS)}
        changed = self.access.apply(a_fact(event, self.sequence))
        moved = {subject for subject in before if self.powers(subject) != before[subject]}
        assert moved <= changed.subjects, f"{moved - changed.subjects} would have kept what they were shown"

    def powers(self, subject: str) -> set[tuple[str, str]]:
        held = self.access.grants(subject)
        return {(one, where) for one in ALLOWED for where in NODES if allows(held, one, where)}

    # ---- events ----

    @rule(user=users, role=role_names, active=st.booleans())
    def member_set(self, user: str, role: str, active: bool) -> None:
        if active:
            self.members[user] = role
        else:
            self.members.pop(user, None)
        self.tell(MemberSet(org=ORG, user=user, role=role, previous=None, active=active))

    @rule(user=users)
    def member_removed(self, user: str) -> None:
        role = self.members.pop(user, "member")
        self.tell(MemberRemoved(org=ORG, user=user, previous=role))

    @rule(role=st.sampled_from(OWN), permissions=permission_sets)
    def role_defined(self, role: str, permissions: tuple[str, ...]) -> None:
        self.roles[role] = permissions
        self.tell(RoleDefined(org=ORG, role=role, permissions=permissions))

    @rule(role=st.sampled_from(OWN))
    def role_deleted(self, role: str) -> None:
        self.roles.pop(role, None)
        self.tell(RoleDeleted(org=ORG, role=role))

    @rule(team=teams)
    def team_created(self, team: str) -> None:
        self.teams.setdefault(team, set())
        self.tell(TeamCreated(org=ORG, team=team, slug=team[4:]))

    @rule(team=teams)
    def team_deleted(self, team: str) -> None:
        self.teams.pop(team, None)
        self.tell(TeamDeleted(org=ORG, team=team, slug=team[4:]))

    @rule(team=teams, user=users)
    def team_joined(self, team: str, user: str) -> None:
        self.teams.setdefault(team, set()).add(user)
        self.tell(TeamMemberAdded(org=ORG, team=team, slug=team[4:], user=user))

    @rule(team=teams, user=users)
    def team_left(self, team: str, user: str) -> None:
        self.teams.get(team, set()).discard(user)
        self.tell(TeamMemberRemoved(org=ORG, team=team, slug=team[4:], user=user))

    @rule(
        number=st.integers(0, 5),
        subject=st.sampled_from((*USERS, *TEAMS, *ACCOUNTS)),
        role=role_names,
        path=st.sampled_from(PATHS),
    )
    def assigned_to(self, number: int, subject: str, role: str, path: str) -> None:
        name = f"asg_{number}"
        if any(one.name == name for one in self.assigned):
            return
        if subject in ACCOUNTS and subject not in self.accounts:
            # Identity refuses it: whom something is given to is there.
            return
        self.assigned.append(Assigned(name, subject, role, path))
        self.tell(RoleAssigned(org=ORG, assignment=name, subject=subject, role=role, path=path))

    @rule(data=st.data())
    def assignment_removed(self, data: st.DataObject) -> None:
        if not self.assigned:
            return
        gone = data.draw(st.sampled_from(self.assigned))
        before = {subject: self.access.grants(subject) for subject in (*USERS, *ACCOUNTS)}
        self.assigned.remove(gone)
        self.tell(
            AssignmentRemoved(
                org=ORG, assignment=gone.name, subject=gone.subject, role=gone.role, path=gone.path
            )
        )
        for subject, held in before.items():
            # Exactly what it gave is gone: nothing else, and nothing of it is left.
            assert self.access.grants(subject) == tuple(one for one in held if one.by != gone.name)

    @rule(account=st.sampled_from(ACCOUNTS))
    def account_created(self, account: str) -> None:
        if any(one.subject == account for one in self.assigned):
            # An id is given out once.
            return
        self.accounts.add(account)
        self.tell(ServiceAccountCreated(org=ORG, account=account, name="CI"))

    @rule(account=st.sampled_from(ACCOUNTS))
    def account_deleted(self, account: str) -> None:
        self.accounts.discard(account)
        self.tell(ServiceAccountDeleted(org=ORG, account=account))

    # ---- what has to hold ----

    def from_scratch(self, subject: str) -> set[Grant]:
        if subject not in self.members and subject not in self.accounts:
            return set()
        standing = [(MEMBERSHIP, self.members[subject], "")] if subject in self.members else []
        for one in self.assigned:
            if one.subject == subject or subject in self.teams.get(one.subject, ()):
                standing.append((one.name, one.role, one.path))
        found = set()
        for by, role, path in standing:
            permissions = frozenset(self.roles.get(role, ()))
            if permissions or role in ROLES:
                found.add(Grant(role, f"{ORG}/{path}" if path else ORG, permissions, by))
        return found

    @invariant()
    def what_is_held_follows_from_the_facts_that_stand(self) -> None:
        for subject in (*USERS, *ACCOUNTS, "usr_nobody"):
            held = self.access.grants(subject)
            assert set(held) == self.from_scratch(subject)
            assert len(held) == len(set(held))


Follows.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestFollows = Follows.TestCase
