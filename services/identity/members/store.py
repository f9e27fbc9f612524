"""Every query on members, and on the list that each user has of organizations joined."""

from __future__ import annotations

from collections.abc import Sequence

from libs.contracts.base import Event
from libs.contracts.identity import Member
from libs.permissions import PLATFORM
from libs.service.request import Request
from libs.store.database import Change, Documents, Index, Scope
from services.identity.members.domain import Joined, joined
from services.identity.organizations.domain import Org
from services.identity.organizations.store import put as put_organization

MEMBERS = Documents(
    "members",
    Member,
    key=lambda member: member.user,
    indexes=[
        Index(("user",)),  # pages of an organization
        Index(("email",)),  # is the invited one a member already?
        Index(("role",)),  # is a role held?
    ],
)
JOINED = Documents(
    "joined",
    Joined,
    key=lambda line: f"{line.user}/{line.organization}",
    indexes=[
        Index(("user", "organization")),  # a user's list, and pages of it
    ],
)


async def member(scope: Scope, organization: str, user: str) -> Member | None:
    return await scope.of(organization).get(MEMBERS, user)


async def by_email(scope: Scope, email: str) -> Member | None:
    return await scope.first(MEMBERS, {"email": email})


async def with_role(scope: Scope, role: str) -> list[Member]:
    return await scope.find(MEMBERS, {"role": role}, limit=1)


async def everyone(scope: Scope) -> list[Member]:
    return await scope.find(MEMBERS, {}, sort="user")


async def page(scope: Scope, after: str, limit: int) -> list[Member]:
    return await scope.find(MEMBERS, {"user": {"$gt": after}}, sort="user", limit=limit)


async def joined_by(scope: Scope, user: str) -> list[Joined]:
    """First joined, first listed."""
    lines = await scope.of(PLATFORM).find(JOINED, {"user": user})
    return sorted(lines, key=lambda line: (line.since, line.organization))


async def joined_after(scope: Scope, user: str, organization: str, limit: int) -> list[Joined]:
    where = {"user": user, "organization": {"$gt": organization}}
    return await scope.of(PLATFORM).find(JOINED, where, sort="organization", limit=limit)


def put(organization: str, member: Member) -> list[Change]:
    """The member and its line in the user's list: never one without the other."""
    line = joined(organization, member)
    return [MEMBERS.put(member, org=organization), JOINED.put(line, org=PLATFORM)]


def delete(organization: str, member: Member) -> list[Change]:
    line = joined(organization, member)
    return [MEMBERS.delete(member, org=organization), JOINED.delete(line, org=PLATFORM)]


def put_changed(before: Org, org: Org) -> list[Change]:
    """Nothing, unless members are what changed the organization."""
    return [put_organization(org)] if org.revision > before.revision else []


async def save(
    request: Request,
    before: tuple[Org, Member],
    org: Org,
    member: Member,
    changes: Sequence[Change],
    events: Sequence[Event],
) -> Member:
    own = put(org.id, member) if member.revision > before[1].revision else []
    return await request.commit([*put_changed(before[0], org), *own, *changes], events, reply=member)


async def save_removed(
    request: Request,
    before: Org,
    org: Org,
    member: Member,
    changes: Sequence[Change],
    events: Sequence[Event],
) -> None:
    await request.commit([*put_changed(before, org), *delete(org.id, member), *changes], events, reply=None)
