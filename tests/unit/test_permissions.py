"""Rights hold where they were given and below, and nowhere else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from libs.permissions import (
    EVERYTHING,
    ORGANIZATION_ROLES,
    PLATFORM,
    ROLES,
    Grant,
    Visible,
    allows,
    decide,
    holds_on,
    may_grant,
    visible_part,
)

PERMISSIONS = sorted({permission for role in ROLES.values() for permission in role})
# Few and alike on purpose: prefixes of each other are where a comparison goes wrong.
names = st.sampled_from(["a", "ab", "b", "a-b", "org_1", "org_11"])
resources = st.lists(names, min_size=1, max_size=3).map("/".join)
roles = st.sampled_from(sorted(ROLES))
grants = st.lists(st.builds(Grant, roles, resources), max_size=4)
permissions = st.sampled_from(PERMISSIONS)


@given(roles, resources, resources, permissions)
def test_a_grant_holds_on_its_node_and_below_and_nowhere_else(
    role: str, granted: str, resource: str, permission: str
) -> None:
    below = resource.split("/")[: len(granted.split("/"))] == granted.split("/")
    assert holds_on(granted, resource) == below
    assert allows([Grant(role, granted)], permission, resource) == (below and permission in ROLES[role])


@given(grants, permissions, resources, names)
def test_what_is_allowed_on_a_node_is_allowed_below_it(
    held: list[Grant], permission: str, resource: str, child: str
) -> None:
    if allows(held, permission, resource):
        assert allows(held, permission, f"{resource}/{child}")


@given(grants, st.builds(Grant, roles, resources), permissions, resources)
def test_another_grant_never_takes_a_right_away(
    held: list[Grant], more: Grant, permission: str, resource: str
) -> None:
    if allows(held, permission, resource):
        assert allows([more, *held], permission, resource)
        assert allows([*held, more], permission, resource)


@given(grants, permissions, resources)
def test_a_decision_names_the_grant_that_made_it_or_what_was_missing(
    held: list[Grant], permission: str, resource: str
) -> None:
    decision = decide(held, permission, resource)
    assert decision.allowed == (decision.grant is not None) == (decision.missing is None)
    if decision.grant:
        assert decision.grant in held
        assert allows([decision.grant], permission, resource)
    else:
        assert decision.missing == permission


@given(grants, permissions, names, names)
def test_a_list_shows_exactly_what_could_be_read_one_by_one(
    held: list[Grant], permission: str, org: str, app: str
) -> None:
    visible = visible_part(held, permission, org)
    assert visible.shows(app) == allows(held, permission, f"{org}/{app}")
    # Equal rights compare equal, so that those who hold them share an answer.
    assert visible == visible_part(list(reversed(held)), permission, org)


@given(grants, roles, resources)
def test_nobody_grants_what_they_do_not_hold(held: list[Grant], role: str, resource: str) -> None:
    if may_grant(held, ROLES[role], resource):
        assert all(allows(held, permission, resource) for permission in ROLES[role])


def test_a_role_that_nobody_defined_holds_nothing_() -> None:
    assert not any(allows([Grant("superuser", "a")], permission, "a") for permission in PERMISSIONS)


def test_each_role_of_a_member_holds_what_the_one_below_it_holds() -> None:
    member, viewer, developer, admin, owner = (ROLES[role] for role in ORGANIZATION_ROLES)
    assert member < viewer < developer < admin < owner


def test_a_viewer_changes_nothing() -> None:
    assert {permission.split(":")[1] for permission in ROLES["viewer"]} == {"read"}


def test_an_operator_holds_nothing_in_an_organization() -> None:
    held = [Grant("operator", PLATFORM)]
    assert not any(allows(held, permission, "org_1") for permission in PERMISSIONS)
    assert not any(may_grant(held, ROLES[role], "org_1") for role in ORGANIZATION_ROLES)


def test_an_admin_makes_no_owner() -> None:
    assert not may_grant([Grant("admin", "org_1")], ROLES["owner"], "org_1")
    assert may_grant([Grant("owner", "org_1")], ROLES["owner"], "org_1")
    assert not may_grant([Grant("owner", "org_1")], ROLES["viewer"], "org_11")


def test_a_right_on_one_application_shows_that_one() -> None:
    assert visible_part([Grant("viewer", "a/b")], "app:read", "a") == Visible(False, ("b",))
    assert visible_part([Grant("viewer", "a")], "app:read", "a") == EVERYTHING
    assert visible_part([Grant("viewer", "a/b/c")], "app:read", "a") == Visible(False, (), ("b/c",))
