"""The users and groups that are provisioned, as SCIM describes them (RFC 7643), and what they are here.

Rights are no attributes: no roles, entitlements or passwords come by this way.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from scim2_models import (
    Address,
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    Email,
    EnterpriseUser,
    ETag,
    Filter,
    GroupMembership,
    Im,
    Mutability,
    Name,
    Patch,
    PhoneNumber,
    Reference,
    Required,
    Resource,
    ResourceType,
    SchemaExtension,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    Uniqueness,
)
from scim2_models.resources.resource import AnyExtension
from scim2_models.urn import URN

from libs.contracts.identity import Group as Team
from libs.contracts.identity import Person

MAX_RESULTS = 1_000
MAX_MEMBERS = 10_000
# What Entra and Okta send beside the letter of the standard, where it can be taken for nothing else.
TOLERANT = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)


class User(Resource[AnyExtension]):
    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    name: Name | None = None
    display_name: str | None = None
    nick_name: str | None = None
    title: str | None = None
    user_type: str | None = None
    preferred_language: str | None = None
    locale: str | None = None
    timezone: str | None = None
    active: bool | None = None
    emails: list[Email] | None = None
    phone_numbers: list[PhoneNumber] | None = None
    ims: list[Im] | None = None
    addresses: list[Address] | None = None
    groups: Annotated[list[GroupMembership] | None, Mutability.read_only] = None


class GroupMember(ComplexAttribute):
    """By id alone: a name would be a second place for what the user's own resource says."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    ref: Annotated[Reference[User[Any]] | None, Mutability.immutable] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    type: Annotated[str | None, Mutability.immutable] = Field(None, examples=["User"])


class Group(Resource[Any]):
    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    display_name: Annotated[str | None, Required.true] = None
    members: list[GroupMember] | None = None


# A type that has a name for checkers, and the extension that companies send.
Provisioned = User[EnterpriseUser]
# Kept apart from the profile: they are the user's own fields, or follow from the membership.
NOT_SAID = "activeNotSaid"
_OWN = ("schemas", "id", "externalId", "meta", "userName", "active", "groups")


def provider(base: str) -> ScimProvider:
    """What there is, for clients to discover."""
    types = [
        ResourceType(
            id="User",
            name="User",
            endpoint=Reference[Any]("/Users"),
            description="A member of the organization",
            schema_=Reference[Any](str(User.__schema__)),
            schema_extensions=[
                SchemaExtension(schema_=Reference[Any](str(EnterpriseUser.__schema__)), required=False)
            ],
        ),
        ResourceType(
            id="Group",
            name="Group",
            endpoint=Reference[Any]("/Groups"),
            description="A team of the organization",
            schema_=Reference[Any](str(Group.__schema__)),
        ),
    ]
    config = ServiceProviderConfig(
        documentation_uri=Reference[Any](f"{base}/docs"),
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=MAX_RESULTS),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=False),
        etag=ETag(supported=False),
        authentication_schemes=[
            AuthenticationScheme(
                type=AuthenticationScheme.Type.oauthbearertoken,
                name="Key of a service account",
                description="Authorization: Bearer, with an API key of a service account or a token for one",
                primary=True,
            )
        ],
    )
    return ScimProvider([User, EnterpriseUser, Group], types, config, TOLERANT)


def user_of(person: Person, base: str) -> User[Any]:
    """`base` is the address of the organization's SCIM service."""
    location = f"{base}/Users/{person.id}"
    profile = {**person.profile}
    if not person.managed:
        profile = {
            "displayName": person.name,
            "emails": [{"value": person.email, "primary": True}],
        }
    # Of whom it was never said is active all the same.
    active = None if profile.pop(NOT_SAID, False) and person.active else person.active
    fields = {
        **profile,
        "schemas": [str(User.__schema__), *(name for name in profile if name.startswith("urn:"))],
        "id": person.id,
        "externalId": person.external_id,
        "userName": person.user_name,
        "active": active,
        "groups": [
            {"value": team, "display": name, "$ref": f"{base}/Groups/{team}", "type": "direct"}
            for team, name in person.teams.items()
        ]
        or None,
        "meta": {
            "resourceType": "User",
            "created": person.created_at,
            "lastModified": person.changed_at,
            "location": location,
        },
    }
    return Provisioned.model_validate({name: value for name, value in fields.items() if value is not None})


def profile_of(user: User[Any]) -> dict[str, Any]:
    """What is kept as it was given."""
    dumped = user.model_dump(mode="json", by_alias=True, exclude_none=True)
    kept = {name: value for name, value in dumped.items() if name not in _OWN and value not in ({}, [])}
    return kept if user.active is not None else {**kept, NOT_SAID: True}


def email_of(user: User[Any]) -> str | None:
    """The primary address, or the first."""
    emails = [email for email in user.emails or [] if email.value]
    chosen = next((email for email in emails if email.primary), emails[0] if emails else None)
    if chosen is not None:
        return str(chosen.value)
    return user.user_name if user.user_name and "@" in user.user_name else None


def name_of(user: User[Any]) -> str:
    parts = (user.name.given_name, user.name.family_name) if user.name else ()
    whole = " ".join(part for part in parts if part)
    formatted = user.name.formatted if user.name else None
    return (user.display_name or formatted or whole or user.user_name or "")[:200]


def group_of(group: Team, base: str, with_members: bool = True) -> Group:
    team = group.team
    members = [{"value": user, "$ref": f"{base}/Users/{user}", "type": "User"} for user in group.members]
    fields = {
        "schemas": [str(Group.__schema__)],
        "id": team.id,
        "externalId": team.external_id,
        "displayName": team.name,
        "members": members if with_members and members else None,
        "meta": {
            "resourceType": "Group",
            "created": team.created_at,
            "lastModified": team.created_at,
            "location": f"{base}/Groups/{team.id}",
        },
    }
    return Group.model_validate({name: value for name, value in fields.items() if value is not None})
