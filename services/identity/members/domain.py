"""Rules of membership. No I/O.

Nobody grants what they don't hold, nobody but an owner touches an owner, and one owner stays.
"""

from __future__ import annotations

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
from libs.permissions import allows, may_grant
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
    return _new(account, "owner", now), _set(org.id, account.id, "owner", None)


def join(
    org: Org, existing: Member | None, account: Account, role: Role, now: datetime
) -> tuple[Org, Member, list[Event]]:
    """Always changes the organization, so that nobody joins beside its renaming or its end unnoticed."""
    not_yet(existing)
    member = _new(account, role, now)
    joined_org = with_owner(org, account.id, True) if role == "owner" else changed(org)
    return joined_org, member, _set(org.id, account.id, role, None)


def set_role(
    org: Org, member: Member | None, command: SetMember, caller: Caller
) -> tuple[Org, Member, list[Event]]:
    member = known(member, command.user)
    check_grant(caller, command.role, org.id)
    if member.role == command.role:
        return org, member, []
    if member.role == "owner":
        _check(caller, "owner:update", org.id)
    moved = member.model_copy(update={"role": command.role, "revision": member.revision + 1})
    return (
        with_owner(org, member.user, command.role == "owner"),
        moved,
        _set(org.id, member.user, command.role, member.role),
    )


def remove(
    org: Org, member: Member | None, command: RemoveMember, caller: Caller
) -> tuple[Org, Member, list[Event]]:
    """The organization without the member, and whom to remove."""
    leaving = caller.subject == command.user
    if not leaving:
        _check(caller, "member:remove", org.id)
    member = known(member, command.user)
    if member.role == "owner" and not leaving:
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


def check_grant(caller: Caller, role: Role, organization: str) -> None:
    if not may_grant(caller.grants, role, organization):
        raise PermissionMissing(f"nobody grants what they don't hold: {role} on {organization}")


def _check(caller: Caller, permission: str, organization: str) -> None:
    if not allows(caller.grants, permission, organization):
        raise PermissionMissing(f"{permission} on {organization}")


def _new(account: Account, role: Role, now: datetime) -> Member:
    return Member(user=account.id, email=account.email, name=account.name, role=role, since=now, revision=1)


def _set(organization: str, user: str, role: Role, previous: Role | None) -> list[Event]:
    return [
        MemberSet(org=organization, user=user, role=role, previous=previous),
        MembershipsChanged(user=user),
    ]
