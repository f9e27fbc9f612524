"""Rules of teams. No I/O.

A team holds what it is assigned, and its members hold that with it. So whoever puts somebody into a team
gives that person all of it, and has to hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from libs.contracts.base import Caller, Event
from libs.contracts.identity import (
    Assignment,
    CreateTeam,
    Member,
    Team,
    TeamCreated,
    TeamDeleted,
    TeamMember,
    TeamMemberAdded,
    TeamMemberRemoved,
    TeamUpdated,
    UpdateTeam,
    node,
)
from libs.errors import Conflict, NotFound, StaleRevision
from services.identity.members.domain import check_grant


class TeamExists(Conflict):
    """The organization has a team of that slug."""


class TeamNotFound(NotFound):
    """No such team."""


class NotInTeam(NotFound):
    """The user is not in this team."""


def create(existing: Team | None, command: CreateTeam, team: str, now: datetime) -> tuple[Team, list[Event]]:
    if existing:
        raise TeamExists(f"there is a team {command.slug}")
    made = Team(id=team, slug=command.slug, name=command.name, created_at=now, revision=1)
    return made, [TeamCreated(org=command.org, team=made.id, slug=made.slug)]


def update(team: Team | None, command: UpdateTeam) -> tuple[Team, list[Event]]:
    team = known(team, command.slug)
    if command.if_revision is not None and command.if_revision != team.revision:
        raise StaleRevision(f"the newest revision is {team.revision}")
    changed = team.model_copy(update={"name": command.name, "revision": team.revision + 1})
    return changed, [TeamUpdated(org=command.org, team=changed.id, slug=changed.slug)]


def delete(team: Team | None, organization: str, slug: str) -> tuple[Team, list[Event]]:
    """What the team was assigned, and who was in it, is the handler's to take along."""
    team = known(team, slug)
    return team, [TeamDeleted(org=organization, team=team.id, slug=team.slug)]


def add(
    team: Team,
    existing: TeamMember | None,
    member: Member,
    held: Sequence[Assignment],
    permissions: Mapping[str, Iterable[str]],
    organization: str,
    caller: Caller,
    now: datetime,
) -> tuple[TeamMember, list[Event]]:
    """`held` is what the team was assigned; `permissions` are those of each role in it."""
    for assignment in held:
        check_grant(caller, permissions[assignment.role], node(organization, assignment.path))
    if existing:
        return existing, []
    added = TeamMember(
        team=team.id, user=member.user, email=member.email, name=member.name, since=now, revision=1
    )
    return added, [TeamMemberAdded(org=organization, team=team.id, slug=team.slug, user=member.user)]


def remove(
    team: Team, present: TeamMember | None, organization: str, user: str
) -> tuple[TeamMember, list[Event]]:
    if present is None:
        raise NotInTeam(f"{user} is not in {team.slug}")
    return present, [TeamMemberRemoved(org=organization, team=team.id, slug=team.slug, user=user)]


def known(team: Team | None, slug: str) -> Team:
    if team is None:
        raise TeamNotFound(f"no team {slug}")
    return team
