"""Rules of an application. No I/O."""

from __future__ import annotations

from datetime import datetime

import semver

from libs.contracts.base import Event
from libs.contracts.registry import App, AppCreated, AppUpdated, CreateApp, UpdateApp
from libs.errors import Conflict, NotFound, StaleRevision
from libs.permissions import Visible


class AppExists(Conflict):
    """The organization has an application of that slug."""


class AppNotFound(NotFound):
    """No such application, or none that the caller may know of."""


class KnownApp(App):
    """An application as it is kept. An `App` is what readers get."""

    versions: int = 0


def shown(app: KnownApp, versions_of: Visible) -> App:
    """As a reader may see it: without its versions, where those are not for the reader."""
    hidden = {} if versions_of.shows(app.slug) else {"latest": None, "versions": None}
    return App.model_validate(app.model_dump() | hidden)


def create(
    existing: KnownApp | None, command: CreateApp, by: str, now: datetime
) -> tuple[KnownApp, list[Event]]:
    if existing:
        raise AppExists(command.slug)
    app = KnownApp(
        slug=command.slug, name=command.name, kind=command.kind, created_at=now, created_by=by, revision=1
    )
    return app, [AppCreated(org=command.org, app=app.slug, kind=app.kind)]


def update(app: KnownApp | None, command: UpdateApp) -> tuple[KnownApp, list[Event]]:
    app = known(app, command.slug)
    if command.if_revision is not None and command.if_revision != app.revision:
        raise StaleRevision(f"the application is at revision {app.revision}")
    changed = app.model_copy(update={"name": command.name, "revision": app.revision + 1})
    return changed, [AppUpdated(org=command.org, app=app.slug)]


def with_version(app: KnownApp, version: str) -> KnownApp:
    """The application after a version of it was published."""
    latest = max(filter(None, (app.latest, version)), key=_precedence)
    return app.model_copy(
        update={"latest": latest, "versions": app.versions + 1, "revision": app.revision + 1}
    )


def known(app: KnownApp | None, slug: str) -> KnownApp:
    if app is None:
        raise AppNotFound(slug)
    return app


def _precedence(version: str) -> tuple[bool, semver.Version]:
    """A release comes before any pre-release, as shells ask for `latest` and mean something finished."""
    parsed = semver.Version.parse(version)
    return parsed.prerelease is None, parsed
