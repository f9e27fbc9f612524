"""Rules of an environment."""

from __future__ import annotations

import pytest

from libs.contracts.deploy import (
    CreateEnvironment,
    Environment,
    EnvironmentCreated,
    EnvironmentUpdated,
    UpdateEnvironment,
)
from libs.errors import StaleRevision
from services.deploy.environments import domain
from services.deploy.environments.domain import DEFAULTS, EnvironmentExists, EnvironmentNotFound
from tests.domain.deploy.builders import an_environment


def walked(stored: list[Environment], limit: int) -> list[Environment]:
    """All pages, as the store answers them."""
    found: list[Environment] = []
    cursor: str | None = None
    while True:
        start = domain.added_after(cursor)
        others = sorted((one for one in stored if one.slug > start), key=lambda one: one.slug)
        page = domain.page(domain.defaults_after(cursor), stored, others)[:limit]
        if not page:
            return found
        found += page
        cursor = page[-1].slug


def test_every_organization_starts_with_three() -> None:
    assert [environment.slug for environment in walked([], 50)] == ["development", "staging", "production"]
    for slug in DEFAULTS:
        assert domain.known(None, slug).revision == 0


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_its_own_come_after_the_defaults_which_keep_what_was_changed_about_them(limit: int) -> None:
    stored = [an_environment(locked=True, revision=1), an_environment(slug="qa"), an_environment(slug="beta")]
    found = walked(stored, limit)
    assert [one.slug for one in found] == ["development", "staging", "production", "beta", "qa"]
    assert [one.slug for one in found if one.locked] == ["production"]


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(EnvironmentNotFound):
        domain.known(None, "nowhere")


@pytest.mark.parametrize("slug", ["production", "qa"])
def test_a_slug_is_taken_once(slug: str) -> None:
    stored = an_environment(slug="qa") if slug == "qa" else None
    with pytest.raises(EnvironmentExists):
        domain.create(stored, CreateEnvironment(org="org_a", slug=slug, name="Mine"))


def test_a_new_one_is_open_and_told() -> None:
    environment, events = domain.create(None, CreateEnvironment(org="org_a", slug="qa", name="QA"))
    assert (environment.revision, environment.locked) == (1, False)
    assert events == [EnvironmentCreated(org="org_a", environment="qa")]


def test_a_change_leaves_alone_what_it_does_not_name() -> None:
    locked, events = domain.update(None, UpdateEnvironment(org="org_a", slug="production", locked=True))
    assert (locked.name, locked.locked, locked.revision) == ("Production", True, 1)
    assert events == [EnvironmentUpdated(org="org_a", environment="production", locked=True)]
    renamed, _ = domain.update(locked, UpdateEnvironment(org="org_a", slug="production", name="Live"))
    assert (renamed.name, renamed.locked, renamed.revision) == ("Live", True, 2)
    opened, _ = domain.update(renamed, UpdateEnvironment(org="org_a", slug="production", locked=False))
    assert (opened.name, opened.locked) == ("Live", False)


def test_a_change_of_what_is_no_longer_so_is_refused() -> None:
    with pytest.raises(StaleRevision):
        domain.update(
            an_environment(revision=2),
            UpdateEnvironment(org="org_a", slug="production", locked=True, if_revision=1),
        )
