"""What gateways must know to decide by themselves: everything, page by page, each page from one snapshot.

No rules and no documents of its own; it reads those of the other subjects.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from libs.contracts.identity import (
    AssignedRole,
    Directory,
    DirectoryEntry,
    KnownIssuer,
    KnownKey,
    ListDirectory,
)
from libs.permissions import PLATFORM
from libs.service.queries import reads_across
from libs.store.database import Scope
from services.identity.accounts.store import API_KEYS, SERVICE_ACCOUNTS
from services.identity.assignments import store as assignments
from services.identity.issuers.store import ISSUERS
from services.identity.managed.store import MANAGED
from services.identity.members.store import MEMBERS
from services.identity.oauth.revocation import store as revocation
from services.identity.oauth.trust.store import TRUST_RULES
from services.identity.organizations import store as organizations
from services.identity.roles.store import ROLE_DEFINITIONS
from services.identity.sessions import store as sessions
from services.identity.teams.store import TEAM_MEMBERS, TEAMS
from services.identity.users import store as users

PAGE = 100
# Every organization comes after it, and the installation's own tenant before.
BEFORE_ALL = "org_"
# Clocks of gateways may be behind ours.
SKEW = timedelta(minutes=1)


class DirectoryPages:
    def __init__(self, access_token_lifetime: timedelta) -> None:
        self._tokens_run = access_token_lifetime + SKEW

    @reads_across
    async def list_directory(self, query: ListDirectory, scope: Scope) -> Directory:
        found = await organizations.after(scope, query.cursor or "", PAGE + 1)
        page = found[:PAGE]
        entries = {
            # A deleted organization has no members left, and its slug leads nowhere.
            org.id: _Entry(org.id, None if org.deleted_at else org.slug, await scope.of(org.id).head())
            for org in page
        }
        if page:
            await _fill(entries, scope, query.cursor or BEFORE_ALL, page[-1].id)
        now = datetime.now(UTC)
        ended = await sessions.ended_since(scope, now - self._tokens_run)
        revoked = await revocation.running_at(scope, now - SKEW)
        return Directory(
            entries=tuple(entry.view() for entry in entries.values()),
            operators=tuple(sorted(account.id for account in await users.operators(scope))),
            ended=tuple(sorted([session.id for session in ended] + [token.id for token in revoked])),
            platform_sequence=await scope.of(PLATFORM).head(),
            next=page[-1].id if len(found) > PAGE else None,
        )


class _Entry:
    """An entry while it is put together."""

    def __init__(self, org: str, slug: str | None, sequence: int) -> None:
        self.org, self.slug, self.sequence = org, slug, sequence
        self.members: dict[str, str] = {}
        self.roles: dict[str, tuple[str, ...]] = {}
        self.teams: dict[str, list[str]] = {}
        self.assignments: dict[str, AssignedRole] = {}
        self.accounts: dict[str, str] = {}
        self.keys: dict[str, KnownKey] = {}
        self.rules: dict[str, str] = {}
        self.issuers: dict[str, KnownIssuer] = {}
        self.links: dict[str, str] = {}

    def view(self) -> DirectoryEntry:
        if self.slug is None:
            return DirectoryEntry(org=self.org, sequence=self.sequence)
        return DirectoryEntry(
            org=self.org,
            slug=self.slug,
            members=self.members,
            roles=self.roles,
            teams={team: tuple(users) for team, users in self.teams.items()},
            assignments=self.assignments,
            accounts=self.accounts,
            keys=self.keys,
            rules=self.rules,
            issuers=self.issuers,
            links=self.links,
            sequence=self.sequence,
        )


async def _fill(entries: dict[str, _Entry], scope: Scope, after: str, last: str) -> None:
    for org, member in await scope.between(MEMBERS, after, last):
        if member.active:
            entries[org].members[member.user] = member.role
    for org, role in await scope.between(ROLE_DEFINITIONS, after, last):
        entries[org].roles[role.role] = role.permissions
    for org, team in await scope.between(TEAMS, after, last):
        entries[org].teams.setdefault(team.id, [])
    for org, line in await scope.between(TEAM_MEMBERS, after, last):
        entries[org].teams.setdefault(line.team, []).append(line.user)
    for org, one in await assignments.of_organizations(scope, after, last):
        entries[org].assignments[one.id] = AssignedRole(subject=one.subject.id, role=one.role, path=one.path)
    for org, account in await scope.between(SERVICE_ACCOUNTS, after, last):
        entries[org].accounts[account.id] = account.name
    for org, rule in await scope.between(TRUST_RULES, after, last):
        entries[org].rules[rule.id] = rule.account
    for org, key in await scope.between(API_KEYS, after, last):
        entries[org].keys[key.fingerprint] = KnownKey(
            key=key.id, account=key.account, scope=key.scope, expires_at=key.expires_at
        )
    for org, issuer in await scope.between(ISSUERS, after, last):
        entries[org].issuers[issuer.id] = KnownIssuer(revision=issuer.revision, settings=issuer.settings)
    for org, managed in await scope.between(MANAGED, after, last):
        entries[org].links |= dict.fromkeys(managed.links, managed.id)
