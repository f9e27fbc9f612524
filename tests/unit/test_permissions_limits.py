"""Limits and roles of one's own: never more than was held, nor than a limit names, and only downwards."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.permissions import (
    ORGANIZATION_PERMISSIONS,
    ROLES,
    Grant,
    Limit,
    allows,
    decide,
    holds_on,
    may_grant,
    narrowed,
    visible_part,
)

# Few and alike on purpose: prefixes of each other are where a comparison goes wrong.
names = st.sampled_from(["a", "ab"])
resources = st.sampled_from(["a", "a/a", "a/a/a", "a/a/ab", "a/ab", "ab", "ab/a", "ab/a/a"])
permissions = st.sampled_from(["app:read", "org:read", "org:delete"])
some = st.frozensets(permissions, min_size=1, max_size=3)
# A role of an organization's own says what it allows; it may have any name, a built-in one's too.
grants = st.builds(Grant, st.sampled_from([*ROLES, "own"]), resources, st.just(frozenset()) | some)
held_grants = st.lists(grants, max_size=4)
limits = st.lists(st.builds(Limit, st.none() | some, st.none() | resources), max_size=3)


def within(limit: Limit, permission: str, resource: str) -> bool:
    named = limit.permissions is None or permission in limit.permissions
    return named and (limit.resource is None or holds_on(limit.resource, resource))


@given(held_grants, permissions, resources, names)
def test_rights_grow_downwards(held: list[Grant], permission: str, resource: str, child: str) -> None:
    if allows(held, permission, resource):
        assert allows(held, permission, f"{resource}/{child}")


@given(held_grants, permissions, resources)
def test_rights_never_reach_sideways_or_upwards(held: list[Grant], permission: str, resource: str) -> None:
    """What is allowed is allowed by a grant that lies on the way from the root to the resource."""
    way = resource.split("/")
    above = {"/".join(way[:depth]) for depth in range(1, len(way) + 1)}
    on_the_way = [grant for grant in held if grant.resource in above]
    assert decide(held, permission, resource) == decide(on_the_way, permission, resource)


@given(held_grants, grants, permissions, resources)
def test_taking_a_grant_away_takes_exactly_what_it_alone_gave(
    others: list[Grant], gone: Grant, permission: str, resource: str
) -> None:
    before, after = [*others, gone], others
    lost = allows(before, permission, resource) and not allows(after, permission, resource)
    gave = allows([gone], permission, resource)
    assert lost == (gave and not allows(others, permission, resource))
    assert allows(before, permission, resource) or not allows(after, permission, resource)


@given(st.sampled_from(sorted(ROLES)), some, resources, permissions)
def test_what_a_role_of_ones_own_says_is_all_that_it_allows(
    role: str, says: frozenset[str], resource: str, permission: str
) -> None:
    assert allows([Grant(role, resource, says)], permission, resource) == (permission in says)


@settings(max_examples=500)
@given(held_grants, limits, permissions, resources)
def test_limits_leave_what_is_held_and_what_every_limit_names(
    held: list[Grant], limiting: list[Limit], permission: str, resource: str
) -> None:
    """Exactly that: no more, and no less."""
    expected = allows(held, permission, resource) and all(
        within(limit, permission, resource) for limit in limiting
    )
    assert allows(narrowed(held, limiting), permission, resource) == expected


@given(held_grants, limits, limits)
def test_limiting_twice_is_limiting_by_all(held: list[Grant], first: list[Limit], then: list[Limit]) -> None:
    assert narrowed(narrowed(held, first), then) == narrowed(held, [*first, *then])


@given(held_grants, limits)
def test_the_order_of_limits_does_not_matter(held: list[Grant], limiting: list[Limit]) -> None:
    left = {narrowed(held, order) for order in permutations(limiting)}
    assert len(left) == 1


@given(held_grants, limits)
def test_limiting_again_by_the_same_changes_nothing(held: list[Grant], limiting: list[Limit]) -> None:
    once = narrowed(held, limiting)
    assert narrowed(once, limiting) == once


@given(held_grants, limits)
def test_what_is_left_still_says_what_gave_it(held: list[Grant], limiting: list[Limit]) -> None:
    assert {(left.role, left.by) for left in narrowed(held, limiting)} <= {
        (grant.role, grant.by) for grant in held
    }


@given(held_grants, limits, some, resources)
def test_with_a_limited_token_nobody_gives_more_than_it_may(
    held: list[Grant], limiting: list[Limit], wanted: frozenset[str], resource: str
) -> None:
    if may_grant(narrowed(held, limiting), wanted, resource):
        assert may_grant(held, wanted, resource)
        assert all(within(limit, one, resource) for limit in limiting for one in wanted)


@given(held_grants, limits, permissions, names, names, names)
def test_a_list_with_a_limited_token_shows_what_could_be_read_one_by_one(
    held: list[Grant], limiting: list[Limit], permission: str, org: str, app: str, environment: str
) -> None:
    left = narrowed(held, limiting)
    visible = visible_part(left, permission, org)
    assert visible.shows(app) == allows(left, permission, f"{org}/{app}")
    assert visible.shows_in(environment, app) == allows(left, permission, f"{org}/{app}/{environment}")


def test_the_permissions_here_are_real_ones() -> None:
    assert {"app:read", "org:read", "org:delete"} <= ORGANIZATION_PERMISSIONS
