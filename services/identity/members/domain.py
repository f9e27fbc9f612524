"""Rules of membership. No I/O.

Nobody grants what they don't hold, nobody but an owner touches an owner, and one owner stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from libs.contracts.base import Caller, Event, Moment, Resource
from libs.contracts.identity import (
    Member,
    MemberRemoved,
    MemberSet,
    Membership,
    MembershipsChanged,
    RemoveMember,
    Role,
    SetMember,
)
from libs.errors import Conflict, NotFound, PermissionMissing
from libs.permissions import OWNER, allows
from services.identity.organizations.domain import Org, changed, with_owner
from services.identity.users.domain import Account


class MemberNotFound(NotFound):
    """The user is no member of this organization."""


class AlreadyMember(Conflict):
    """The user is a member of this organization."""


class Joined(Resource):
    """One line of a user's list of organizations, in the installation's tenant. It is written with the
    member, always, so it has the member's revision."""

    user: str
    organization: str
    role: Role
    since: Moment


def joined(organization: str, member: Member) -> Joined:
    return Joined(
        user=member.user,
        organization=organization,
        role=member.role,
        since=member.since,
        revision=member.revision,
    )


def membership(org: Org, role: Role) -> Membership:
    return Membership(org=org.id, slug=org.slug, name=org.name, role=role)


def found(org: Org, account: Account, now: datetime) -> tuple[Member, list[Event]]:
    """The first member, who owns the organization by its creation."""
    founder = _new(account, OWNER, now)
    return founder, _set(org.id, founder, None)


def join(
    org: Org, existing: Member | None, account: Account, role: Role, now: datetime
) -> tuple[Org, Member, list[Event]]:
    """Always changes the organization, so that nobody joins beside its renaming or its end unnoticed."""
    not_yet(existing)
    member = _new(account, role, now)
    joined_org = with_owner(org, account.id, True) if role == OWNER else changed(org)
    return joined_org, member, _set(org.id, member, None)


def change(
    org: Org, member: Member | None, command: SetMember, permissions: Iterable[str], caller: Caller
) -> tuple[Org, Member, list[Event]]:
    """`permissions` are those of the role that the member is to have."""
    member = known(member, command.user)
    role = member.role if command.role is None else command.role
    active = member.active if command.active is None else command.active
    if role != member.role or (active and not member.active):
        check_grant(caller, permissions, org.id)
    if (role, active) == (member.role, member.active):
        return org, member, []
    if member.role == OWNER:
        _check(caller, "owner:update", org.id)
    moved = member.model_copy(update={"role": role, "active": active, "revision": member.revision + 1})
    return (
        with_owner(org, member.user, role == OWNER and active),
        moved,
        _set(org.id, moved, member.role),
    )


def remove(
    org: Org, member: Member | None, command: RemoveMember, caller: Caller
) -> tuple[Org, Member, list[Event]]:
    """The organization without the member, and whom to remove."""
    leaving = caller.subject == command.user
    if not leaving:
        _check(caller, "member:remove", org.id)
    member = known(member, command.user)
    if member.role == OWNER and not leaving:
        _check(caller, "owner:update", org.id)
    events: list[Event] = [
        MemberRemoved(org=org.id, user=member.user, previous=member.role),
        MembershipsChanged(user=member.user),
    ]
    return with_owner(org, member.user, False), member, events


def known(member: Member | None, user: str) -> Member:
    if member is None:
        raise MemberNotFound(f"{user} is no member")
    return member


def not_yet(member: Member | None) -> None:
    if member:
        raise AlreadyMember(f"{member.email} is a member")


def check_grant(caller: Caller, permissions: Iterable[str], resource: str) -> None:
    """Nobody gives what they don't hold."""
    lacking = sorted(one for one in permissions if not allows(caller.grants, one, resource))
    if lacking:
        raise PermissionMissing(f"nobody gives what they don't hold: {', '.join(lacking)} on {resource}")


def _check(caller: Caller, permission: str, organization: str) -> None:
    if not allows(caller.grants, permission, organization):
        raise PermissionMissing(f"{permission} on {organization}")


def _new(account: Account, role: Role, now: datetime) -> Member:
    return Member(user=account.id, email=account.email, name=account.name, role=role, since=now, revision=1)


def _set(organization: str, member: Member, previous: Role | None) -> list[Event]:
    return [
        MemberSet(
            org=organization, user=member.user, role=member.role, previous=previous, active=member.active
        ),
        MembershipsChanged(user=member.user),
    ]
