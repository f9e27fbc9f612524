"""Rules of what is provisioned as a whole. No I/O. People and teams themselves have rules of their own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime

from libs.contracts.base import Event
from libs.contracts.identity import Member, Person, ProvisionTeam, Team, TeamCreated, TeamUpdated
from libs.errors import Invalid
from services.identity.managed.domain import Managed

MOST_SLUG_CHARACTERS = 40


class NameMissing(Invalid):
    """A new group needs a name."""


class GroupMemberUnknown(Invalid):
    """A group consists of members of the organization; somebody named is none."""


def person(member: Member, managed: Managed | None, teams: Mapping[str, str]) -> Person:
    return Person(
        id=member.user,
        managed=managed is not None,
        user_name=managed.user_name if managed else member.email,
        external_id=managed.external_id if managed else None,
        email=member.email,
        name=member.name,
        active=member.active,
        profile=managed.profile if managed else {},
        teams=dict(teams),
        created_at=managed.created_at if managed else member.since,
        changed_at=managed.changed_at if managed else member.since,
        revision=managed.revision if managed else 0,
    )


def slug_of(name: str, taken: Iterable[str], fallback: str) -> str:
    """A slug that reads like the name, and that no other team has."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[: MOST_SLUG_CHARACTERS - 9].strip("-")
    slug = words or fallback
    return f"{slug}-{fallback}" if slug in set(taken) else slug


def team(
    existing: Team | None, command: ProvisionTeam, team: str, slug: str, now: datetime
) -> tuple[Team, list[Event]]:
    """The team itself; who is in it is decided where teams are."""
    if existing is None:
        if command.name is None:
            raise NameMissing("displayName")
        made = Team(
            id=team,
            slug=slug,
            name=command.name,
            external_id=command.external_id or None,
            created_at=now,
            revision=1,
        )
        return made, [TeamCreated(org=command.org, team=made.id, slug=made.slug)]
    name = existing.name if command.name is None else command.name
    external_id = existing.external_id if command.external_id is None else command.external_id or None
    if (name, external_id) == (existing.name, existing.external_id):
        return existing, []
    fields = {"name": name, "external_id": external_id, "revision": existing.revision + 1}
    return existing.model_copy(update=fields), [
        TeamUpdated(org=command.org, team=existing.id, slug=existing.slug)
    ]


def all_known(wanted: Iterable[str], members: Mapping[str, Member]) -> None:
    unknown = [user for user in wanted if user not in members]
    if unknown:
        raise GroupMemberUnknown(unknown[0])
