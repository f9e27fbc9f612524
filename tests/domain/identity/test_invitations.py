"""Rules of invitations."""

from datetime import timedelta

import pytest

from libs.contracts.identity import InvitationAccepted, InviteMember, Role
from libs.errors import PermissionMissing
from libs.permissions import ROLES
from services.identity.invitations import domain
from services.identity.members.domain import AlreadyMember
from tests.domain.identity.builders import NOW, ORG, a_caller, a_member, an_account, an_invitation


def an_order(role: Role = "developer") -> InviteMember:
    return InviteMember(org=ORG, email="Ada@example.com", role=role)


def test_an_invitation_is_for_one_address_and_seven_days() -> None:
    invited, _ = domain.invite(None, an_order(), "inv_1", ROLES["developer"], a_caller("admin"), NOW)
    assert (invited.email, invited.expires_at) == ("ada@example.com", NOW + timedelta(days=7))


def test_nobody_invites_to_a_role_that_they_do_not_hold() -> None:
    with pytest.raises(PermissionMissing):
        domain.invite(None, an_order("owner"), "inv_1", ROLES["owner"], a_caller("admin"), NOW)


def test_a_member_is_not_invited() -> None:
    with pytest.raises(AlreadyMember):
        domain.invite(a_member(), an_order(), "inv_1", ROLES["developer"], a_caller("admin"), NOW)


def test_an_invitation_is_accepted_once() -> None:
    accepted, events = domain.accept(ORG, an_invitation(), an_account(), NOW)
    assert events == [InvitationAccepted(org=ORG, invitation="inv_1", user="usr_ada")]
    with pytest.raises(domain.InvitationNotFound):
        domain.accept(ORG, accepted, an_account(), NOW)


def test_an_invitation_of_another_is_refused() -> None:
    with pytest.raises(domain.InvitationOfAnother):
        domain.accept(ORG, an_invitation(), an_account(email="eve@example.com"), NOW)


def test_an_old_invitation_is_refused() -> None:
    with pytest.raises(domain.InvitationExpired):
        domain.accept(ORG, an_invitation(), an_account(), NOW + timedelta(days=7))


def test_a_withdrawn_or_unknown_invitation_is_not_found() -> None:
    for invitation in (None, domain.withdraw(an_invitation())):
        with pytest.raises(domain.InvitationNotFound):
            domain.accept(ORG, invitation, an_account(), NOW)
