"""Organizations, their members, and invitations."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import EmailStr

from libs.contracts.base import Command, Event, Moment, Name, Page, Paged, Query, Resource, Slug, View, topic
from libs.contracts.identity.people import Token

# A built-in role, or one that the organization defined.
Role = Slug


class Membership(View):
    """One organization of a user."""

    org: str
    slug: str
    name: str
    role: str


class Organization(Resource):
    id: str
    slug: str
    name: str
    created_at: Moment


class Member(Resource):
    user: str
    email: str
    name: str
    role: str
    since: Moment
    # A suspended member holds nothing until it is active again.
    active: bool = True


class Invitation(Resource):
    id: str
    email: str
    role: str
    invited_by: str
    expires_at: Moment
    state: Literal["open", "accepted", "withdrawn"]


class InvitationWithToken(Invitation):
    """The token is derived from the invitation, shown to the inviter, and stored nowhere."""

    token: str


class CreateOrganization(Command[Organization]):
    slug: Slug
    name: Name


class UpdateOrganization(Command[Organization], permission="org:update"):
    org: str
    name: Name
    if_revision: int | None = None


class DeleteOrganization(Command[None], permission="org:delete"):
    org: str


class SetMember(Command[Member], permission="member:update"):
    org: str
    user: str
    # None leaves it as it is.
    role: Role | None = None
    active: bool | None = None


class RemoveMember(Command[None]):
    """Needs `member:remove`, or is the member itself leaving."""

    org: str
    user: str


class InviteMember(Command[InvitationWithToken], permission="member:invite"):
    org: str
    email: EmailStr
    role: Role


class AcceptInvitation(Command[Membership]):
    token: Token

    def attempt(self) -> dict[str, Any]:
        return {"invitation": self.token.rsplit(".", 1)[0]}


class ListOrgs(Paged, Query[Page[Membership]]):
    user: str

    def topics(self) -> tuple[str, ...]:
        return (topic("user-orgs", self.user),)


class GetOrg(Query[Organization], permission="org:read"):
    org: str

    def topics(self) -> tuple[str, ...]:
        return (topic("org", self.org),)


class ListMembers(Paged, Query[Page[Member]], permission="member:read"):
    org: str

    def topics(self) -> tuple[str, ...]:
        return (topic("members", self.org),)


class ListInvitations(Paged, Query[Page[Invitation]], permission="member:invite"):
    org: str

    def topics(self) -> tuple[str, ...]:
        return (topic("invitations", self.org),)


class OrganizationCreated(Event):
    org: str
    slug: str
    name: str
    owner_id: str

    def topics(self) -> tuple[str, ...]:
        return (topic("org", self.org), topic("members", self.org))

    def summary(self) -> str:
        return f"organization {self.slug} created"


class OrganizationUpdated(Event):
    org: str
    name: str

    def topics(self) -> tuple[str, ...]:
        return (topic("org", self.org),)

    def summary(self) -> str:
        return f"organization renamed to {self.name}"


class OrganizationDeleted(Event):
    org: str
    slug: str

    def topics(self) -> tuple[str, ...]:
        return (topic("org", self.org), topic("members", self.org), topic("invitations", self.org))

    def summary(self) -> str:
        return f"organization {self.slug} deleted"


class MemberSet(Event, permission="member:read"):
    org: str
    user: str
    role: str
    previous: str | None
    active: bool = True

    def topics(self) -> tuple[str, ...]:
        return (topic("members", self.org),)

    def summary(self) -> str:
        was = f", was {self.previous}" if self.previous else ""
        return f"{self.user} is {self.role}{was}" + ("" if self.active else ", suspended")


class MemberRemoved(Event, permission="member:read"):
    org: str
    user: str
    previous: str

    def topics(self) -> tuple[str, ...]:
        return (topic("members", self.org),)

    def summary(self) -> str:
        return f"{self.user} removed, was {self.previous}"


class MemberInvited(Event, permission="member:invite"):
    org: str
    invitation: str
    email: str
    role: str

    def topics(self) -> tuple[str, ...]:
        return (topic("invitations", self.org),)

    def summary(self) -> str:
        return f"{self.email} invited as {self.role}"


class InvitationAccepted(Event, permission="member:invite"):
    org: str
    invitation: str
    user: str

    def topics(self) -> tuple[str, ...]:
        return (topic("invitations", self.org),)

    def summary(self) -> str:
        return f"invitation accepted by {self.user}"


class MembershipsChanged(Event):
    """The list of a user's organizations changed; in the installation's stream, where that list is kept.

    `others` are further users to whom the same happened, when an organization is renamed or deleted.
    """

    user: str
    others: tuple[str, ...] = ()

    def topics(self) -> tuple[str, ...]:
        return tuple(topic("user-orgs", user) for user in (self.user, *self.others))

    def summary(self) -> str:
        more = f" and {len(self.others)} others" if self.others else ""
        return f"organizations of {self.user}{more} changed"
