"""Who may do what: roles, teams, and assignments of a role to somebody on a part of the tree."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from libs.contracts.base import (
    Command,
    Event,
    Filtered,
    Frozen,
    Moment,
    Name,
    Page,
    Paged,
    Query,
    Resource,
    Slug,
    View,
    topic,
)

# A part of an organization's tree: "" is all of it, then `app` and `app/environment`.
_SLUG = r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?"
Path = Annotated[str, StringConstraints(pattern=rf"^({_SLUG}(/{_SLUG})?)?$")]
Permission = Annotated[str, StringConstraints(pattern=r"^[a-z]+:[a-z]+$", max_length=40)]
SubjectId = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}_[0-9a-z]{1,40}$")]


# What readers get.
class Subject(Frozen):
    """Who holds something: a user, a team or a service account."""

    type: Literal["user", "team", "service_account"]
    id: SubjectId


class RoleDefinition(Resource):
    """A role and what it allows. Built-in roles cannot be changed."""

    role: str
    name: str
    permissions: tuple[str, ...]
    built_in: bool = False


class Roles(View):
    """All roles, with the table of permissions that they can be made of."""

    items: tuple[RoleDefinition, ...]
    permissions: dict[str, str]


class Team(Resource):
    id: str
    slug: str
    name: str
    # What whoever provisions it calls it.
    external_id: str | None = None
    created_at: Moment


class TeamMember(Resource):
    team: str
    user: str
    email: str
    name: str
    since: Moment


class Assignment(Resource):
    """A role held by a subject on `path` and below."""

    id: str
    subject: Subject
    role: str
    path: str
    made_by: str
    made_at: Moment


# Commands.
class DefineRole(Command[RoleDefinition], permission="role:update"):
    org: str
    role: Slug
    name: Name
    permissions: tuple[Permission, ...] = Field(max_length=100)


class UpdateRole(Command[RoleDefinition], permission="role:update"):
    org: str
    role: Slug
    name: Name | None = None
    permissions: tuple[Permission, ...] | None = Field(default=None, max_length=100)
    if_revision: int | None = None


class DeleteRole(Command[None], permission="role:update"):
    """Refused while somebody holds it."""

    org: str
    role: Slug


class CreateTeam(Command[Team], permission="team:update"):
    org: str
    slug: Slug
    name: Name


class UpdateTeam(Command[Team], permission="team:update"):
    org: str
    slug: Slug
    name: Name
    if_revision: int | None = None


class DeleteTeam(Command[None], permission="team:update"):
    """With what the team was assigned."""

    org: str
    slug: Slug


class AddTeamMember(Command[TeamMember], permission="team:update"):
    """Gives the member what the team holds, so the caller has to hold all of it too."""

    org: str
    slug: Slug
    user: str


class RemoveTeamMember(Command[None], permission="team:update"):
    org: str
    slug: Slug
    user: str


class AssignRole(Command[Assignment], permission="assignment:update"):
    """Assigning what is assigned already answers with that assignment."""

    org: str
    subject: Subject
    role: Slug
    path: Path = ""

    def resource(self) -> str:
        return node(self.org, self.path)


class RemoveAssignment(Command[None]):
    """Needs `assignment:update` on the assignment's own part of the tree."""

    org: str
    assignment: str


# Queries.
class ListRoles(Query[Roles], permission="role:read"):
    org: str

    def topics(self) -> tuple[str, ...]:
        return (topic("roles", self.org),)


class ListTeams(Paged, Query[Page[Team]], permission="team:read"):
    org: str

    def topics(self) -> tuple[str, ...]:
        return (topic("teams", self.org),)


class GetTeam(Query[Team], permission="team:read"):
    org: str
    slug: Slug

    def topics(self) -> tuple[str, ...]:
        return (topic("teams", self.org),)


class ListTeamMembers(Paged, Query[Page[TeamMember]], permission="team:read"):
    org: str
    slug: Slug

    def topics(self) -> tuple[str, ...]:
        return (topic("team-members", self.org, self.slug),)


class ListAssignments(Filtered, Paged, Query[Page[Assignment]], permission="assignment:read"):
    refused_without: ClassVar[bool] = True

    org: str

    def topics(self) -> tuple[str, ...]:
        return (topic("assignments", self.org),)


# Events.
class RoleDefined(Event, permission="role:read"):
    """A role of the organization is new or changed; what its holders may do is `permissions` from now on."""

    org: str
    role: str
    permissions: tuple[str, ...]

    def topics(self) -> tuple[str, ...]:
        return (topic("roles", self.org),)

    def summary(self) -> str:
        return f"role {self.role} allows {', '.join(self.permissions) or 'nothing'}"


class RoleDeleted(Event, permission="role:read"):
    org: str
    role: str

    def topics(self) -> tuple[str, ...]:
        return (topic("roles", self.org),)

    def summary(self) -> str:
        return f"role {self.role} deleted"


class _OfTeam(Event, permission="team:read"):
    org: str
    team: str
    slug: str

    def topics(self) -> tuple[str, ...]:
        # Asking for the members of a team that is not there is an answer too.
        return (topic("teams", self.org), topic("team-members", self.org, self.slug))


class TeamCreated(_OfTeam, permission="team:read"):
    def summary(self) -> str:
        return f"team {self.slug} created"


class TeamUpdated(_OfTeam, permission="team:read"):
    def summary(self) -> str:
        return f"team {self.slug} updated"


class TeamDeleted(_OfTeam, permission="team:read"):
    def summary(self) -> str:
        return f"team {self.slug} deleted"


class TeamMemberAdded(_OfTeam, permission="team:read"):
    user: str

    def summary(self) -> str:
        return f"{self.user} joined team {self.slug}"


class TeamMemberRemoved(_OfTeam, permission="team:read"):
    user: str

    def summary(self) -> str:
        return f"{self.user} left team {self.slug}"


class _OfAssignment(Event, permission="assignment:read"):
    org: str
    assignment: str
    subject: str
    role: str
    path: str

    def resource(self) -> str:
        return node(self.org, self.path)

    def topics(self) -> tuple[str, ...]:
        return (topic("assignments", self.org),)


class RoleAssigned(_OfAssignment, permission="assignment:read"):
    def summary(self) -> str:
        return f"{self.subject} is {self.role} on {self.path or 'the organization'}"


class AssignmentRemoved(_OfAssignment, permission="assignment:read"):
    def summary(self) -> str:
        return f"{self.subject} is no longer {self.role} on {self.path or 'the organization'}"


def node(org: str, path: str) -> str:
    """The resource that a path below an organization names."""
    return f"{org}/{path}" if path else org
