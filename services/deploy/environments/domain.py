"""Rules of an environment. No I/O."""

from __future__ import annotations

from libs.contracts.base import Event
from libs.contracts.deploy import (
    CreateEnvironment,
    Environment,
    EnvironmentCreated,
    EnvironmentUpdated,
    UpdateEnvironment,
)
from libs.errors import Conflict, NotFound, StaleRevision

# Every organization starts with these. They need no document until something about them changes, so they
# are there the moment the organization is.
DEFAULTS = {
    slug: Environment(slug=slug, name=slug.capitalize()) for slug in ("development", "staging", "production")
}


class EnvironmentExists(Conflict):
    """The organization has an environment of that slug."""


class EnvironmentNotFound(NotFound):
    """No such environment."""


class EnvironmentLocked(Conflict):
    """The environment takes no rollouts now. Rollback stays possible."""


def known(stored: Environment | None, slug: str) -> Environment:
    environment = stored or DEFAULTS.get(slug)
    if environment is None:
        raise EnvironmentNotFound(slug)
    return environment


def defaults_after(cursor: str | None) -> list[str]:
    """Which of the defaults a page begins with: they come first, as people expect them."""
    slugs = list(DEFAULTS)
    if cursor is None:
        return slugs
    return slugs[slugs.index(cursor) + 1 :] if cursor in DEFAULTS else []


def added_after(cursor: str | None) -> str:
    """Where a page goes on among what the organization added."""
    return "" if cursor is None or cursor in DEFAULTS else cursor


def page(defaults: list[str], changed: list[Environment], others: list[Environment]) -> list[Environment]:
    """The defaults as they are now, then what the organization added."""
    by_slug = {environment.slug: environment for environment in changed}
    added = [environment for environment in others if environment.slug not in DEFAULTS]
    return [*(by_slug.get(slug, DEFAULTS[slug]) for slug in defaults), *added]


def create(stored: Environment | None, command: CreateEnvironment) -> tuple[Environment, list[Event]]:
    if stored or command.slug in DEFAULTS:
        raise EnvironmentExists(command.slug)
    environment = Environment(slug=command.slug, name=command.name, revision=1)
    return environment, [EnvironmentCreated(org=command.org, environment=environment.slug)]


def update(stored: Environment | None, command: UpdateEnvironment) -> tuple[Environment, list[Event]]:
    environment = known(stored, command.slug)
    if command.if_revision is not None and command.if_revision != environment.revision:
        raise StaleRevision(f"the environment is at revision {environment.revision}")
    changed = environment.model_copy(
        update={
            "name": command.name if command.name is not None else environment.name,
            "locked": command.locked if command.locked is not None else environment.locked,
            "revision": environment.revision + 1,
        }
    )
    event = EnvironmentUpdated(org=command.org, environment=changed.slug, locked=changed.locked)
    return changed, [event]
