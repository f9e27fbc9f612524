"""People and groups as whoever provisions them sees them: all of an organization, with offsets and totals."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from libs.contracts.base import Command, Moment, Name, Query, View, topic
from libs.contracts.identity.access import Team
from libs.contracts.identity.managed import External


class Person(View):
    """A member, with what is known of them. Only those whom the organization manages can be changed beyond
    being active; `profile` is what was provisioned of them beside that."""

    id: str
    managed: bool
    user_name: str
    external_id: str | None
    email: str
    name: str
    active: bool
    profile: dict[str, Any] = Field(default_factory=dict)
    # Teams by id, with their names.
    teams: dict[str, str] = Field(default_factory=dict)
    created_at: Moment
    changed_at: Moment
    # Of the managed user; 0 for others.
    revision: int


class People(View):
    items: tuple[Person, ...]
    total: int


class Group(View):
    """A team with everybody in it, by id, with their names."""

    team: Team
    members: dict[str, str]


class Groups(View):
    items: tuple[Group, ...]
    total: int


class ProvisionTeam(Command[Group], permission="team:update"):
    """Makes or changes a team with everybody in it, in one commit. Who is added gets what the team holds, so
    the caller has to hold it. What is None stays as it is."""

    org: str
    # None makes a new one.
    team: str | None = None
    name: Name | None = None
    external_id: External | None = None
    members: tuple[str, ...] | None = Field(default=None, max_length=10_000)


class ListPeople(Query[People], permission="member:read"):
    """In the order of their ids. One of `user`, `user_name` and `external_id` finds; without it all are
    listed from `start` on, of which the first is 0."""

    org: str
    user: str | None = None
    user_name: str | None = Field(default=None, max_length=400)
    external_id: str | None = Field(default=None, max_length=400)
    start: int = Field(default=0, ge=0)
    limit: int = Field(default=200, ge=0, le=1_000)

    def topics(self) -> tuple[str, ...]:
        return (topic("members", self.org), topic("managed", self.org), topic("teams", self.org))


class ListGroups(Query[Groups], permission="team:read"):
    org: str
    team: str | None = None
    name: str | None = Field(default=None, max_length=400)
    start: int = Field(default=0, ge=0)
    limit: int = Field(default=200, ge=0, le=1_000)
    # False leaves the members out, which may be many.
    with_members: bool = True

    def topics(self) -> tuple[str, ...]:
        return (topic("members", self.org), topic("teams", self.org))
