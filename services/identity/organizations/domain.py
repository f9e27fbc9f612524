"""Rules of organizations. No I/O.

The owners are kept in the organization itself, so that its revision puts changes of them in a row: two
owners who demote each other at the same time cannot both succeed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from libs.contracts.base import Event, Moment, Resource
from libs.contracts.identity import (
    CreateOrganization,
    MembershipsChanged,
    Organization,
    OrganizationCreated,
    OrganizationDeleted,
    OrganizationUpdated,
    UpdateOrganization,
)
from libs.errors import Conflict, OrganizationNotFound, StaleRevision

# One event names so many users at most; it has to stay well under the size that an event may have.
USERS_IN_ONE_EVENT = 400


class SlugTaken(Conflict):
    """There is an organization with this slug, or there was one."""


class LastOwner(Conflict):
    """An organization always has an owner."""


class Org(Resource):
    """An organization as it is kept. A deleted one stays: its id, its slug and its log remain taken."""

    id: str
    slug: str
    name: str
    created_at: Moment
    owners: tuple[str, ...]
    # How often what readers see has changed: their revision. Ours also grows when members join.
    edition: int = 1
    deleted_at: Moment | None = None

    def view(self) -> Organization:
        return Organization(
            id=self.id, slug=self.slug, name=self.name, created_at=self.created_at, revision=self.edition
        )


def create(
    existing: Org | None, command: CreateOrganization, organization: str, owner: str, now: datetime
) -> tuple[Org, list[Event]]:
    """The owner's own membership is the business of members."""
    if existing:
        raise SlugTaken(f"{command.slug} is taken")
    org = Org(
        id=organization, slug=command.slug, name=command.name, created_at=now, owners=(owner,), revision=1
    )
    return org, [OrganizationCreated(org=org.id, slug=org.slug, name=org.name, owner_id=owner)]


def update(org: Org | None, command: UpdateOrganization, members: Sequence[str]) -> tuple[Org, list[Event]]:
    org = known(org, command.org)
    if command.if_revision is not None and command.if_revision != org.edition:
        raise StaleRevision(f"the newest revision is {org.edition}")
    if command.name == org.name:
        return org, []
    events: list[Event] = [OrganizationUpdated(org=org.id, name=command.name)]
    return changed(org, name=command.name, edition=org.edition + 1), [*events, *memberships_changed(members)]


def delete(
    org: Org | None, organization: str, members: Sequence[str], now: datetime
) -> tuple[Org, list[Event]]:
    org = known(org, organization)
    events: list[Event] = [OrganizationDeleted(org=org.id, slug=org.slug)]
    return changed(org, deleted_at=now, owners=()), [*events, *memberships_changed(members)]


def known(org: Org | None, organization: str) -> Org:
    if org is None or org.deleted_at:
        raise OrganizationNotFound(f"no organization {organization}")
    return org


def with_owner(org: Org, user: str, owns: bool) -> Org:
    """The organization once that user owns it, or no longer does; the same value where nothing changes."""
    if owns == (user in org.owners):
        return org
    owners = (*org.owners, user) if owns else tuple(owner for owner in org.owners if owner != user)
    if not owners:
        raise LastOwner("make somebody else an owner first")
    return changed(org, owners=owners)


def memberships_changed(users: Sequence[str]) -> list[Event]:
    """That the lists of these users changed, in as few events as can be."""
    parts = [users[at : at + USERS_IN_ONE_EVENT] for at in range(0, len(users), USERS_IN_ONE_EVENT)]
    return [MembershipsChanged(user=part[0], others=tuple(part[1:])) for part in parts]


def changed(org: Org, **fields: Any) -> Org:
    return org.model_copy(update={**fields, "revision": org.revision + 1})
