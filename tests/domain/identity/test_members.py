"""Rules of membership, above all: one owner stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.identity import Member, MemberSet, MembershipsChanged, RemoveMember, Role, SetMember
from libs.errors import PermissionMissing, Refusal
from libs.permissions import ORGANIZATION_ROLES, ROLES
from services.identity.members import domain
from services.identity.organizations.domain import LastOwner, Org
from tests.domain.identity.builders import NOW, ORG, a_caller, a_member, an_account, an_org

USERS = ("usr_a", "usr_b", "usr_c", "usr_d")


def set_role(org: Org, member: Member | None, role: Role, by: str = "owner") -> tuple[Org, Member]:
    user = member.user if member else "usr_x"
    changed, moved, _ = domain.change(
        org, member, SetMember(org=ORG, user=user, role=role), ROLES[role], a_caller(by)
    )
    return changed, moved


def test_a_role_is_set_and_told() -> None:
    command = SetMember(org=ORG, user="usr_b", role="admin")
    org = an_org("usr_a")
    after, member, events = domain.change(org, a_member("usr_b"), command, ROLES["admin"], a_caller("owner"))
    assert after is org
    assert (member.role, member.revision) == ("admin", 2)
    assert events == [
        MemberSet(org=ORG, user="usr_b", role="admin", previous="developer"),
        MembershipsChanged(user="usr_b"),
    ]


def test_the_same_role_again_changes_nothing() -> None:
    org, member = an_org("usr_a"), a_member("usr_b", "admin")
    command = SetMember(org=ORG, user="usr_b", role="admin")
    assert domain.change(org, member, command, ROLES["admin"], a_caller("owner")) == (org, member, [])


def test_only_a_member_gets_a_role() -> None:
    with pytest.raises(domain.MemberNotFound):
        set_role(an_org(), None, "viewer")


def test_nobody_grants_what_they_do_not_hold() -> None:
    with pytest.raises(PermissionMissing):
        set_role(an_org(), a_member("usr_b"), "owner", by="admin")


def test_an_admin_demotes_no_owner() -> None:
    with pytest.raises(PermissionMissing):
        set_role(an_org("usr_a", "usr_b"), a_member("usr_b", "owner"), "viewer", by="admin")


def test_an_admin_removes_no_owner() -> None:
    with pytest.raises(PermissionMissing):
        domain.remove(
            an_org("usr_a", "usr_b"),
            a_member("usr_b", "owner"),
            RemoveMember(org=ORG, user="usr_b"),
            a_caller("admin"),
        )


def test_a_member_may_leave_without_any_permission() -> None:
    _, member, events = domain.remove(
        an_org("usr_a"), a_member("usr_b"), RemoveMember(org=ORG, user="usr_b"), a_caller(user="usr_b")
    )
    assert member.user == "usr_b"
    assert len(events) == 2


def test_somebody_without_the_permission_does_not_learn_who_is_a_member() -> None:
    with pytest.raises(PermissionMissing):
        domain.remove(an_org(), None, RemoveMember(org=ORG, user="usr_b"), a_caller("viewer"))


def test_the_last_owner_can_neither_step_down_nor_leave() -> None:
    owner = a_member("usr_a", "owner")
    with pytest.raises(LastOwner):
        set_role(an_org("usr_a"), owner, "admin")
    with pytest.raises(LastOwner):
        domain.remove(an_org("usr_a"), owner, RemoveMember(org=ORG, user="usr_a"), a_caller("owner", "usr_a"))


def test_joining_changes_the_organization_so_that_it_cannot_pass_a_renaming_unseen() -> None:
    before = an_org("usr_a")
    org, _, _ = domain.join(before, None, an_account("usr_b"), "viewer", NOW)
    assert (org.revision, org.owners, org.view()) == (before.revision + 1, before.owners, before.view())


def test_a_member_does_not_join_twice() -> None:
    with pytest.raises(domain.AlreadyMember):
        domain.join(an_org(), a_member(), an_account(), "owner", NOW)


def test_a_line_of_a_users_list_keeps_step_with_the_member() -> None:
    member = a_member().model_copy(update={"revision": 7})
    assert domain.joined(ORG, member).revision == 7


steps = st.tuples(
    st.sampled_from(("join", "set", "remove", "leave")),
    st.sampled_from(USERS),
    st.sampled_from(ORGANIZATION_ROLES),
    st.sampled_from(("owner", "admin")),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=30))
def test_whatever_is_done_an_organization_keeps_an_owner(todo: list[tuple[str, str, Role, str]]) -> None:
    founder, _ = domain.found(an_org("usr_a"), an_account("usr_a"), NOW)
    org, members = an_org("usr_a"), {"usr_a": founder}
    for what, user, role, by in todo:
        try:
            if what == "join":
                org, member, _ = domain.join(org, members.get(user), an_account(user), role, NOW)
                members[user] = member
            elif what == "set":
                command = SetMember(org=ORG, user=user, role=role)
                org, member, _ = domain.change(org, members.get(user), command, ROLES[role], a_caller(by))
                members[user] = member
            else:
                caller = a_caller(user=user) if what == "leave" else a_caller(by)
                org, member, _ = domain.remove(
                    org, members.get(user), RemoveMember(org=ORG, user=user), caller
                )
                del members[member.user]
        except Refusal:
            pass
        assert org.owners
        assert set(org.owners) == {user for user, member in members.items() if member.role == "owner"}
