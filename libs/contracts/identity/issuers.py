"""Foreign issuers of tokens that an organization trusts: Clerk, Auth0, any OpenID provider."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from libs.contracts.base import Command, Event, Frozen, Name, Page, Query, Resource, Slug, topic

IssuerUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s#?@]{1,300}$")]
Origin = Annotated[str, StringConstraints(min_length=1, max_length=300)]
ExternalRole = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]
MAX_SKEW_S = 60


class IssuerSettings(Frozen):
    """What a token must say, and what it gives.

    - `kind`: whose shape of claims is read.
    - `issuer`: the exact `iss`, with its slash if it has one.
    - `audiences`: one of them has to be in `aud`. `authorized_parties`: `azp` has to be one of them. At least
      one of the two lists is not empty; Clerk's tokens have no audience, only parties (allowed origins).
    - `algorithms`: those that its tokens may be signed with.
    - `jwks_uri`: where its keys are; without one its discovery document tells.
    - `roles`: external roles, permissions and groups to roles of the organization. Others count for nothing.
    - `external_org`: the issuer's own organization that a token has to be of.
    - `joining`: whether somebody who is not known yet becomes a member, with `default_role`.
    - `machines`: whether tokens that no person asked for (client credentials) are taken.
    """

    kind: Literal["clerk", "auth0", "oidc"]
    issuer: IssuerUrl
    audiences: tuple[Origin, ...] = Field(default=(), max_length=20)
    authorized_parties: tuple[Origin, ...] = Field(default=(), max_length=50)
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256", "ES256"), min_length=1, max_length=11)
    jwks_uri: IssuerUrl | None = None
    roles: dict[ExternalRole, Slug] = Field(default_factory=dict, max_length=200)
    external_org: Origin | None = None
    joining: bool = False
    default_role: Slug = "member"
    machines: bool = False
    skew_s: int = Field(default=5, ge=0, le=MAX_SKEW_S)


class Issuer(Resource):
    id: str
    name: str
    settings: IssuerSettings


class RegisterIssuer(Command[Issuer], permission="issuer:update"):
    """The caller has to hold whatever the issuer's tokens can give."""

    org: str
    name: Name
    settings: IssuerSettings


class UpdateIssuer(Command[Issuer], permission="issuer:update"):
    org: str
    issuer: str
    name: Name | None = None
    settings: IssuerSettings | None = None
    if_revision: int | None = None


class RemoveIssuer(Command[None], permission="issuer:update"):
    """Every token of it ends at once. Its users stay, without a way to sign in."""

    org: str
    issuer: str


class ListIssuers(Query[Page[Issuer]], permission="issuer:read"):
    org: str

    def topics(self) -> tuple[str, ...]:
        return (topic("issuers", self.org),)


class GetIssuer(Query[Issuer], permission="issuer:read"):
    org: str
    issuer: str

    def topics(self) -> tuple[str, ...]:
        return (topic("issuers", self.org),)


class IssuerSet(Event, permission="issuer:read"):
    """New or changed; all that gateways must know."""

    org: str
    issuer: str
    name: str
    revision: int
    settings: dict[str, Any]

    def topics(self) -> tuple[str, ...]:
        return (topic("issuers", self.org),)

    def summary(self) -> str:
        return f"issuer {self.name} ({self.settings.get('issuer')}) is trusted"


class IssuerRemoved(Event, permission="issuer:read"):
    org: str
    issuer: str
    name: str

    def topics(self) -> tuple[str, ...]:
        return (topic("issuers", self.org),)

    def summary(self) -> str:
        return f"issuer {self.name} is no longer trusted"
