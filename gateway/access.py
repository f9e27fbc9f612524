"""Who holds what in one organization, in memory: read once, then kept by events. Pure state, no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from libs.contracts.envelope import Fact
from libs.contracts.identity import (
    AssignmentRemoved,
    DirectoryEntry,
    IssuerRemoved,
    IssuerSet,
    IssuerSettings,
    KeyCreated,
    KeyRevoked,
    KeyScope,
    KnownIssuer,
    KnownKey,
    ManagedUserRemoved,
    ManagedUserSet,
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
    TrustRuleCreated,
    TrustRuleRemoved,
    node,
)
from libs.permissions import ROLES, Grant

MEMBERSHIP = "membership"


class Changed(NamedTuple):
    """Whose rights may be others now, and what has ended: sessions, keys, whatever a token rests on."""

    subjects: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()


NOTHING = Changed()


class Held(NamedTuple):
    """One assignment."""

    subject: str
    role: str
    path: str


class OrganizationAccess:
    """Members, teams, roles, assignments, service accounts and keys of one organization."""

    def __init__(self, org: str) -> None:
        self.id = org
        self.slug: str | None = None
        self.members: dict[str, str] = {}
        self.roles: dict[str, frozenset[str]] = {}
        self.teams: dict[str, set[str]] = {}
        self.assignments: dict[str, Held] = {}
        self.accounts: dict[str, str] = {}
        self.keys: dict[str, KnownKey] = {}
        # Trust rules with the account that each belongs to.
        self.rules: dict[str, str] = {}
        self.issuers: dict[str, KnownIssuer] = {}
        # Foreign identities, `issuer|subject`, with the user that each of them is.
        self.links: dict[str, str] = {}
        # What follows from the above, made anew when it is asked for after a change.
        self._by_subject: dict[str, list[str]] | None = None
        self._teams_of: dict[str, list[str]] | None = None
        self._standing: frozenset[str] | None = None
        self._grants: dict[str, tuple[Grant, ...]] = {}

    def load(self, entry: DirectoryEntry) -> None:
        """All of it, as identity has it."""
        self.slug = entry.slug
        self.members = dict(entry.members)
        self.roles = {role: frozenset(permissions) for role, permissions in entry.roles.items()}
        self.teams = {team: set(users) for team, users in entry.teams.items()}
        self.assignments = {
            name: Held(one.subject, one.role, one.path) for name, one in entry.assignments.items()
        }
        self.accounts = dict(entry.accounts)
        self.keys = dict(entry.keys)
        self.rules = dict(entry.rules)
        self.issuers = dict(entry.issuers)
        self.links = dict(entry.links)
        self._forget()

    def clear(self) -> Changed:
        """The organization is deleted; its id remains."""
        subjects = frozenset((*self.members, *self.accounts))
        ended = self.standing()
        self.load(DirectoryEntry(org=self.id, sequence=0))
        return Changed(subjects, ended)

    def apply(self, fact: Fact) -> Changed:
        """One event, in order."""
        change = _CHANGES.get(fact.type)
        if change is None:
            return NOTHING
        changed = change(self, fact.data)
        self._forget()
        return changed

    def subjects(self) -> frozenset[str]:
        """Everybody who may hold something here."""
        return frozenset((*self.members, *self.accounts))

    def standing(self) -> frozenset[str]:
        """The ids of the keys, trust rules and issuers that are good; tokens need the one that they were
        made from."""
        if self._standing is None:
            keys = (known.key for known in self.keys.values())
            self._standing = frozenset((*keys, *self.rules, *self.issuers))
        return self._standing

    def grants(self, subject: str) -> tuple[Grant, ...]:
        """What a member or a service account holds: by itself, and with its teams."""
        known = self._grants.get(subject)
        if known is None:
            known = self._grants[subject] = tuple(self._held_by(subject))
        return known

    def _held_by(self, subject: str) -> list[Grant]:
        role = self.members.get(subject)
        if role is None and subject not in self.accounts:
            return []
        grants = [self.grant(role, "", MEMBERSHIP)] if role else []
        by_subject, teams_of = self._by_subject_now(), self._teams_of_now()
        for holder in (subject, *teams_of.get(subject, ())):
            for name in by_subject.get(holder, ()):
                one = self.assignments[name]
                grants.append(self.grant(one.role, one.path, name))
        return [grant for grant in grants if grant.allows()]

    def grant(self, role: str, path: str, by: str) -> Grant:
        return Grant(role, node(self.id, path), self.roles.get(role, frozenset()), by)

    def permissions(self, role: str) -> frozenset[str]:
        return self.roles.get(role) or ROLES.get(role, frozenset())

    def _by_subject_now(self) -> dict[str, list[str]]:
        if self._by_subject is None:
            self._by_subject = {}
            for name, held in sorted(self.assignments.items()):
                self._by_subject.setdefault(held.subject, []).append(name)
        return self._by_subject

    def _teams_of_now(self) -> dict[str, list[str]]:
        if self._teams_of is None:
            self._teams_of = {}
            for team, users in sorted(self.teams.items()):
                for user in users:
                    self._teams_of.setdefault(user, []).append(team)
        return self._teams_of

    def _forget(self) -> None:
        self._by_subject = self._teams_of = self._standing = None
        self._grants.clear()

    def _whose(self, subject: str) -> frozenset[str]:
        """The people behind a subject: a team's members, or itself."""
        return frozenset(self.teams.get(subject, {subject}))

    # ---- what each event does ----

    def _member_set(self, data: Mapping[str, Any]) -> Changed:
        if data.get("active", True):
            self.members[data["user"]] = data["role"]
        else:
            self.members.pop(data["user"], None)
        return Changed(frozenset({data["user"]}))

    def _member_removed(self, data: Mapping[str, Any]) -> Changed:
        self.members.pop(data["user"], None)
        return Changed(frozenset({data["user"]}))

    def _role_defined(self, data: Mapping[str, Any]) -> Changed:
        self.roles[data["role"]] = frozenset(data["permissions"])
        return Changed(self._holders(data["role"]))

    def _role_deleted(self, data: Mapping[str, Any]) -> Changed:
        holders = self._holders(data["role"])
        self.roles.pop(data["role"], None)
        return Changed(holders)

    def _holders(self, role: str) -> frozenset[str]:
        members = {user for user, held in self.members.items() if held == role}
        assigned = (self._whose(held.subject) for held in self.assignments.values() if held.role == role)
        return frozenset(members.union(*assigned))

    def _team_created(self, data: Mapping[str, Any]) -> Changed:
        self.teams.setdefault(data["team"], set())
        return NOTHING

    def _team_deleted(self, data: Mapping[str, Any]) -> Changed:
        return Changed(frozenset(self.teams.pop(data["team"], ())))

    def _team_member_added(self, data: Mapping[str, Any]) -> Changed:
        self.teams.setdefault(data["team"], set()).add(data["user"])
        return Changed(frozenset({data["user"]}))

    def _team_member_removed(self, data: Mapping[str, Any]) -> Changed:
        self.teams.get(data["team"], set()).discard(data["user"])
        return Changed(frozenset({data["user"]}))

    def _role_assigned(self, data: Mapping[str, Any]) -> Changed:
        self.assignments[data["assignment"]] = Held(data["subject"], data["role"], data["path"])
        return Changed(self._whose(data["subject"]))

    def _assignment_removed(self, data: Mapping[str, Any]) -> Changed:
        self.assignments.pop(data["assignment"], None)
        return Changed(self._whose(data["subject"]))

    def _account_created(self, data: Mapping[str, Any]) -> Changed:
        self.accounts[data["account"]] = data["name"]
        return NOTHING

    def _account_deleted(self, data: Mapping[str, Any]) -> Changed:
        self.accounts.pop(data["account"], None)
        return Changed(frozenset({data["account"]}))

    def _key_created(self, data: Mapping[str, Any]) -> Changed:
        self.keys[data["fingerprint"]] = KnownKey(
            key=data["key"],
            account=data["account"],
            scope=KeyScope(permissions=data["permissions"], path=data["path"]),
            expires_at=data["expires_at"],
        )
        return NOTHING

    def _key_revoked(self, data: Mapping[str, Any]) -> Changed:
        self.keys.pop(data["fingerprint"], None)
        return Changed(ended=frozenset({data["key"]}))

    def _rule_created(self, data: Mapping[str, Any]) -> Changed:
        self.rules[data["rule"]] = data["account"]
        return NOTHING

    def _rule_removed(self, data: Mapping[str, Any]) -> Changed:
        self.rules.pop(data["rule"], None)
        return Changed(ended=frozenset({data["rule"]}))

    def _issuer_set(self, data: Mapping[str, Any]) -> Changed:
        settings = IssuerSettings.model_validate(data["settings"])
        self.issuers[data["issuer"]] = KnownIssuer(revision=data["revision"], settings=settings)
        # What its tokens give may be other than before.
        return Changed(frozenset(user for link, user in self.links.items() if _is_of(link, data["issuer"])))

    def _issuer_removed(self, data: Mapping[str, Any]) -> Changed:
        self.issuers.pop(data["issuer"], None)
        return Changed(ended=frozenset({data["issuer"]}))

    def _managed_user_set(self, data: Mapping[str, Any]) -> Changed:
        self._unlink(data["user"])
        self.links |= dict.fromkeys(data["links"], data["user"])
        return Changed(frozenset({data["user"]}))

    def _managed_user_removed(self, data: Mapping[str, Any]) -> Changed:
        self._unlink(data["user"])
        return Changed(frozenset({data["user"]}))

    def _unlink(self, user: str) -> None:
        for link in [link for link, linked in self.links.items() if linked == user]:
            del self.links[link]


def _is_of(link: str, issuer: str) -> bool:
    return link.startswith(f"{issuer}|")


_CHANGES: dict[str, Callable[[OrganizationAccess, Mapping[str, Any]], Changed]] = {
    MemberSet.message: OrganizationAccess._member_set,
    MemberRemoved.message: OrganizationAccess._member_removed,
    RoleDefined.message: OrganizationAccess._role_defined,
    RoleDeleted.message: OrganizationAccess._role_deleted,
    TeamCreated.message: OrganizationAccess._team_created,
    TeamDeleted.message: OrganizationAccess._team_deleted,
    TeamMemberAdded.message: OrganizationAccess._team_member_added,
    TeamMemberRemoved.message: OrganizationAccess._team_member_removed,
    RoleAssigned.message: OrganizationAccess._role_assigned,
    AssignmentRemoved.message: OrganizationAccess._assignment_removed,
    ServiceAccountCreated.message: OrganizationAccess._account_created,
    ServiceAccountDeleted.message: OrganizationAccess._account_deleted,
    KeyCreated.message: OrganizationAccess._key_created,
    KeyRevoked.message: OrganizationAccess._key_revoked,
    TrustRuleCreated.message: OrganizationAccess._rule_created,
    TrustRuleRemoved.message: OrganizationAccess._rule_removed,
    IssuerSet.message: OrganizationAccess._issuer_set,
    IssuerRemoved.message: OrganizationAccess._issuer_removed,
    ManagedUserSet.message: OrganizationAccess._managed_user_set,
    ManagedUserRemoved.message: OrganizationAccess._managed_user_removed,
}
