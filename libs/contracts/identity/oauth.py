"""OAuth and OpenID Connect: codes, devices, tokens of service accounts and of CI, and their end."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, StringConstraints

from libs.contracts.base import Command, Event, Frozen, Moment, Page, Query, Resource, View, topic
from libs.contracts.identity.accounts import KeyScope
from libs.permissions import PLATFORM

Parameter = Annotated[str, StringConstraints(max_length=2048)]
# Text that only its holder knows; long enough for a runner's own token.
Shown = Annotated[SecretStr, Field(max_length=16_384)]
UserCode = Annotated[str, StringConstraints(max_length=32)]


class AuthorizationParameters(Frozen):
    """What a client asks for when it sends a browser to us, as it was sent."""

    response_type: Parameter | None = None
    response_mode: Parameter | None = None
    client_id: Parameter | None = None
    redirect_uri: Parameter | None = None
    scope: Parameter | None = None
    state: Parameter | None = None
    nonce: Parameter | None = None
    code_challenge: Parameter | None = None
    code_challenge_method: Parameter | None = None
    prompt: Parameter | None = None
    max_age: Parameter | None = None
    login_hint: Parameter | None = None
    request: Parameter | None = None
    request_uri: Parameter | None = None


class ClientProof(Frozen):
    """Which client asks, and its secret if it has one. `basic` says that it came in the header."""

    id: Parameter = ""
    secret: Shown | None = None
    basic: bool = False


class Asked(View):
    """What the page of an authorization request has to do.

    `location` is set where the browser is to be sent back at once with an error.
    """

    location: str | None = None
    client: str = ""
    scopes: tuple[str, ...] = ()
    step: Literal["sign_in", "consent", "go"] = "sign_in"
    # Who is signed in with this browser.
    email: str | None = None
    # Where the answer goes, for the page's own policy.
    origin: str = ""


class Authorized(View):
    """Where to send the browser, and how it is known from now on, if that is new."""

    location: str
    browser: str | None = None
    browser_expires_in: int = 0


class BrowserHolder(View):
    user: str
    email: str


class SignedInBrowser(View):
    browser: str
    browser_expires_in: int


class Granted(View):
    """The answer of the token endpoint (RFC 6749, 5.1)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # the name of a kind, no secret
    expires_in: int
    refresh_token: str | None = None
    scope: str | None = None
    id_token: str | None = None
    issued_token_type: str | None = None
    session: str | None = None


class Polled(View):
    """A device's tokens, or why it has none yet. Not a refusal: nothing was wrong with asking."""

    error: Literal["authorization_pending", "slow_down"] | None = None
    tokens: Granted | None = None


class DeviceStarted(View):
    """RFC 8628, 3.2, but for the addresses, which the gateway knows."""

    device_code: str
    user_code: str
    expires_in: int
    interval: int


class DeviceAsked(View):
    """Which device waits: what the person compares before saying yes."""

    user_code: str
    client: str
    address: str | None
    agent: str | None
    asked_at: Moment


class TrustRule(Resource):
    """Whose tokens a service account accepts for its own: those of `issuer` for `audience` in which each of
    `claims` is exactly so. What they become is limited to `scope`."""

    id: str
    account: str
    issuer: str
    audience: str
    claims: dict[str, str]
    scope: KeyScope
    created_at: Moment
    created_by: str


ClaimName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")]
ClaimValue = Annotated[str, StringConstraints(min_length=1, max_length=512)]
RunnerIssuer = Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#@]+$", max_length=300)]
Audience = Annotated[str, StringConstraints(min_length=1, max_length=300)]


# Commands.
class Authorize(Command[Authorized]):
    """The person's answer: who they are, or that this browser knows it, and whether they allow it."""

    parameters: AuthorizationParameters
    browser: Parameter | None = None
    allow: bool = True
    email: Annotated[str, StringConstraints(max_length=320)] = ""
    password: Annotated[SecretStr, Field(max_length=256)] | None = None
    # A second factor, where one is required.
    code: Annotated[SecretStr, Field(max_length=64)] | None = None

    def attempt(self) -> dict[str, Any]:
        return {
            "client": self.parameters.client_id,
            "redirect_uri": self.parameters.redirect_uri,
            "email": self.email,
        }


class SignInBrowser(Command[SignedInBrowser]):
    """Signs a browser in where no client asks: on the page that devices are approved on."""

    email: Annotated[str, StringConstraints(max_length=320)]
    password: Annotated[SecretStr, Field(max_length=256)]
    code: Annotated[SecretStr, Field(max_length=64)] | None = None

    def attempt(self) -> dict[str, Any]:
        return {"email": self.email}


class RedeemCode(Command[Granted]):
    client: ClientProof
    code: Shown
    redirect_uri: Parameter | None = None
    code_verifier: Parameter | None = None

    def attempt(self) -> dict[str, Any]:
        # The first part names the code, the second proves it.
        return {"client": self.client.id, "code": self.code.get_secret_value().split(".")[0][:80]}


class StartDevice(Command[DeviceStarted]):
    client: ClientProof
    scope: Parameter | None = None

    def attempt(self) -> dict[str, Any]:
        return {"client": self.client.id}


class DecideDevice(Command[DeviceAsked]):
    browser: Parameter
    user_code: UserCode
    approve: bool

    def attempt(self) -> dict[str, Any]:
        return {"approve": self.approve}


class PollDevice(Command[Polled]):
    client: ClientProof
    device_code: Shown

    def attempt(self) -> dict[str, Any]:
        return {"client": self.client.id, "device": self.device_code.get_secret_value().split(".")[0][:80]}


class IssueToken(Command[Granted]):
    """A service account shows one of its keys (client credentials)."""

    org: str
    client: ClientProof
    scope: Parameter | None = None

    def attempt(self) -> dict[str, Any]:
        return {"account": self.client.id}


class ExchangeToken(Command[Granted]):
    """A runner shows the token that its own platform gave it (RFC 8693)."""

    org: str
    account: Parameter
    subject_token: Shown
    subject_token_type: Parameter
    requested_token_type: Parameter | None = None
    scope: Parameter | None = None

    def attempt(self) -> dict[str, Any]:
        return {"account": self.account, "subject_token_type": self.subject_token_type}


class CreateTrustRule(Command[TrustRule], permission="account:update"):
    """The caller has to hold all that the rule will give."""

    org: str
    account: str
    issuer: RunnerIssuer
    audience: Audience
    claims: dict[ClaimName, ClaimValue] = Field(max_length=20)
    scope: KeyScope = KeyScope()


class RemoveTrustRule(Command[None], permission="account:update"):
    """Its tokens end with it."""

    org: str
    account: str
    rule: str


class RevokeToken(Command[None]):
    """RFC 7009. What is unknown has nothing to end, and is not told apart."""

    org: str = PLATFORM
    client: ClientProof
    token: Shown
    token_type_hint: Parameter | None = None

    def attempt(self) -> dict[str, Any]:
        return {"client": self.client.id}


# Queries.
class CheckAuthorization(Query[Asked]):
    """For gateways only; no route leads here."""

    parameters: AuthorizationParameters
    browser: Parameter | None = None

    def topics(self) -> tuple[str, ...]:
        return ()


class CheckDevice(Query[DeviceAsked]):
    """For gateways only; no route leads here."""

    browser: Parameter
    user_code: UserCode

    def topics(self) -> tuple[str, ...]:
        return ()


class CheckBrowser(Query[BrowserHolder]):
    """Who is signed in with a browser; refused if nobody is. For gateways only; no route leads here."""

    browser: Parameter

    def topics(self) -> tuple[str, ...]:
        return ()


class ListTrustRules(Query[Page[TrustRule]], permission="account:read"):
    org: str
    account: str

    def topics(self) -> tuple[str, ...]:
        return (topic("trust-rules", self.org, self.account),)


# Events.
class DeviceDecided(Event, permission="audit:read"):
    """Somebody let a device sign in as themselves, or refused it."""

    user: str
    client: str
    approved: bool
    # Where the device is, as we saw it.
    address: str | None

    def summary(self) -> str:
        word = "approved" if self.approved else "denied"
        return f"{self.client} at {self.address or 'an unknown address'} {word}"


class TokenIssued(Event, permission="audit:read"):
    """A service account got a token, by a key or a trust rule. `runner` is what showed up in its place."""

    org: str
    account: str
    jti: str
    by: str
    expires_at: Moment
    runner: str | None = None

    def summary(self) -> str:
        who = f" to {self.runner}" if self.runner else ""
        return f"token of {self.account} issued{who} by {self.by}"


class TokenRevoked(Event, permission="audit:read"):
    """One access token is over before its time."""

    org: str
    jti: str
    subject: str

    def summary(self) -> str:
        return f"a token of {self.subject} revoked"


class _OfRule(Event, permission="account:read"):
    org: str
    account: str
    rule: str

    def topics(self) -> tuple[str, ...]:
        return (topic("trust-rules", self.org, self.account),)


class TrustRuleCreated(_OfRule, permission="account:read"):
    issuer: str
    audience: str
    claims: dict[str, str]
    permissions: tuple[str, ...] | None
    path: str

    def summary(self) -> str:
        return f"{self.account} trusts {self.issuer}"


class TrustRuleRemoved(_OfRule, permission="account:read"):
    issuer: str

    def summary(self) -> str:
        return f"{self.account} no longer trusts {self.issuer}"
