"""Rules of invitations. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from libs.contracts.base import Caller, Event
from libs.contracts.identity import Invitation, InvitationAccepted, InviteMember, Member, MemberInvited
from libs.errors import Forbidden, Gone, NotFound
from services.identity.members.domain import check_grant, not_yet
from services.identity.users.domain import Account, normal

VALID = timedelta(days=7)


class InvitationNotFound(NotFound):
    """No such invitation, or it is no longer open."""


class InvitationExpired(Gone):
    """The invitation is too old. Ask for a new one."""


class InvitationOfAnother(Forbidden):
    """The invitation is for another e-mail address."""


def invite(
    member: Member | None,
    command: InviteMember,
    invitation: str,
    permissions: Iterable[str],
    caller: Caller,
    now: datetime,
) -> tuple[Invitation, list[Event]]:
    """`permissions` are those of the role that the invited one is to have."""
    check_grant(caller, permissions, command.org)
    not_yet(member)
    invited = Invitation(
        id=invitation,
        email=normal(command.email),
        role=command.role,
        invited_by=caller.subject,
        expires_at=now + VALID,
        state="open",
        revision=1,
    )
    event = MemberInvited(org=command.org, invitation=invited.id, email=invited.email, role=invited.role)
    return invited, [event]


def accept(
    organization: str, invitation: Invitation | None, account: Account, now: datetime
) -> tuple[Invitation, list[Event]]:
    invitation = usable(invitation)
    if invitation.email != account.email:
        raise InvitationOfAnother("the invitation is for another e-mail address")
    if now >= invitation.expires_at:
        raise InvitationExpired("ask for a new invitation")
    accepted = invitation.model_copy(update={"state": "accepted", "revision": invitation.revision + 1})
    return accepted, [InvitationAccepted(org=organization, invitation=accepted.id, user=account.id)]


def withdraw(invitation: Invitation) -> Invitation:
    return invitation.model_copy(update={"state": "withdrawn", "revision": invitation.revision + 1})


def usable(invitation: Invitation | None) -> Invitation:
    if invitation is None or invitation.state != "open":
        raise InvitationNotFound("no such open invitation")
    return invitation
