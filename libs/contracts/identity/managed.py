"""Users whom an organization manages itself: provisioned, or met by a token of an issuer that it trusts."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, EmailStr, Field, StringConstraints

from libs.contracts.base import Command, Event, Moment, Page, Paged, Query, Resource, Slug, topic

UserName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Given = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
MAX_PROFILE_CHARACTERS = 16_384


def _small(profile: dict[str, Any]) -> dict[str, Any]:
    if len(str(profile)) > MAX_PROFILE_CHARACTERS:
        raise ValueError("the profile is larger than 16 KiB")
    return profile


Profile = Annotated[dict[str, Any], AfterValidator(_small)]
# Where it can be changed, an empty one takes it away.
External = Annotated[str, StringConstraints(max_length=400)]


class ManagedUser(Resource):
    """Belongs to one organization, and holds nothing anywhere else. Has no password: signs in by the
    organization's issuers alone. Its role, and whether it is active, are those of its membership."""

    id: str
    user_name: str
    email: str
    name: str
    given_name: str = ""
    family_name: str = ""
    external_id: str | None = None
    # What was provisioned of them beside that, as it was given.
    profile: dict[str, Any] = Field(default_factory=dict)
    # `issuer|subject` of each foreign identity that is this user.
    links: tuple[str, ...] = ()
    created_at: Moment
    changed_at: Moment


class CreateManagedUser(Command[ManagedUser], permission="member:invite"):
    org: str
    user_name: UserName
    email: EmailStr | None = None
    name: Given = ""
    given_name: Given = ""
    family_name: Given = ""
    external_id: External | None = None
    profile: Profile = Field(default_factory=dict)
    role: Slug = "member"
    active: bool = True


class UpdateManagedUser(Command[ManagedUser], permission="member:update"):
    """What is None stays as it is. `active` and `role` are the membership's, changed in the same commit."""

    org: str
    user: str
    user_name: UserName | None = None
    email: EmailStr | None = None
    name: Given | None = None
    given_name: Given | None = None
    family_name: Given | None = None
    external_id: External | None = None
    profile: Profile | None = None
    active: bool | None = None
    if_revision: int | None = None


class AdmitForeignUser(Command[ManagedUser]):
    """Told by gateways, for a genuine token of an issuer that the organization trusts, of somebody whom it
    does not know yet; no route leads here."""

    org: str
    issuer: str
    subject: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    email: Annotated[str, StringConstraints(max_length=320)] | None = None
    email_verified: bool = False
    name: Given = ""


class GetManagedUser(Query[ManagedUser], permission="member:read"):
    org: str
    user: str

    def topics(self) -> tuple[str, ...]:
        return (topic("managed", self.org, self.user),)


class ListManagedUsers(Paged, Query[Page[ManagedUser]], permission="member:read"):
    org: str
    # Finds by one of these, or lists all.
    user_name: str | None = Field(default=None, max_length=200)
    external_id: str | None = Field(default=None, max_length=400)

    def topics(self) -> tuple[str, ...]:
        return (topic("managed", self.org),)


class _OfManagedUser(Event, permission="member:read"):
    org: str
    user: str

    def topics(self) -> tuple[str, ...]:
        return (topic("managed", self.org), topic("managed", self.org, self.user))


class ManagedUserSet(_OfManagedUser, permission="member:read"):
    """New or changed. `links` are all foreign identities that are this user."""

    user_name: str
    links: tuple[str, ...]

    def summary(self) -> str:
        return f"{self.user_name} is managed by the organization"


class ManagedUserRemoved(_OfManagedUser, permission="member:read"):
    def summary(self) -> str:
        return f"{self.user} is no longer managed by the organization"


class ProfileChanged(Event):
    """In the installation's stream, where people look at themselves."""

    user: str

    def topics(self) -> tuple[str, ...]:
        return (topic("user", self.user),)

    def summary(self) -> str:
        return f"profile of {self.user} changed"
