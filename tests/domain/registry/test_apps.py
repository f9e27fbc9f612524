"""Rules of an application."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.registry import AppCreated, AppUpdated, CreateApp, UpdateApp
from libs.errors import StaleRevision
from services.registry.apps import domain
from services.registry.apps.domain import AppExists, AppNotFound
from tests.domain.registry.builders import NOW, an_app


def test_a_new_application_has_no_version_and_says_who_made_it() -> None:
    command = CreateApp(org="org_a", slug="orders", name="Orders", kind="host")
    app, events = domain.create(None, command, "usr_a", NOW)
    assert (app.revision, app.latest, app.versions, app.created_by) == (1, None, 0, "usr_a")
    assert events == [AppCreated(org="org_a", app="orders", kind="host")]


def test_a_slug_is_taken_once() -> None:
    command = CreateApp(org="org_a", slug="orders", name="Orders", kind="remote")
    with pytest.raises(AppExists):
        domain.create(an_app(), command, "usr_a", NOW)


def test_a_change_raises_the_revision() -> None:
    app, events = domain.update(an_app(revision=4), UpdateApp(org="org_a", slug="orders", name="New"))
    assert (app.name, app.revision) == ("New", 5)
    assert events == [AppUpdated(org="org_a", app="orders")]


def test_a_change_of_what_is_no_longer_so_is_refused() -> None:
    with pytest.raises(StaleRevision):
        domain.update(an_app(revision=4), UpdateApp(org="org_a", slug="orders", name="New", if_revision=3))
    app, _ = domain.update(
        an_app(revision=4), UpdateApp(org="org_a", slug="orders", name="New", if_revision=4)
    )
    assert app.revision == 5


def test_what_is_not_there_cannot_be_changed() -> None:
    with pytest.raises(AppNotFound):
        domain.update(None, UpdateApp(org="org_a", slug="orders", name="New"))


@pytest.mark.parametrize(
    ("published", "latest"),
    [
        (["1.0.0", "1.1.0"], "1.1.0"),
        (["1.1.0", "1.0.0"], "1.1.0"),
        (["1.9.0", "1.10.0"], "1.10.0"),
        (["1.0.0", "2.0.0-rc.1"], "1.0.0"),
        (["2.0.0-rc.1"], "2.0.0-rc.1"),
        (["2.0.0-rc.2", "2.0.0-rc.10"], "2.0.0-rc.10"),
        (["2.0.0-rc.1", "1.0.0"], "1.0.0"),
    ],
)
def test_the_latest_is_the_highest_release_if_there_is_one(published: list[str], latest: str) -> None:
    app = an_app()
    for version in published:
        app = domain.with_version(app, version)
    assert app.latest == latest
    assert app.versions == len(published)


@given(st.permutations(["1.0.0", "1.0.1", "1.10.0", "1.9.9", "2.0.0-a", "2.0.0-b.1", "0.0.1"]))
def test_the_latest_does_not_depend_on_the_order_of_publication(order: list[str]) -> None:
    app = an_app()
    for version in order:
        app = domain.with_version(app, version)
    assert app.latest == "1.10.0"
