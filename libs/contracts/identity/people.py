"""Users, and the sessions in which they are signed in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import EmailStr, Field, SecretStr, StringConstraints

from libs.contracts.base import Command, Event, Moment, Name, Page, Paged, Query, Resource, View, topic

Reason = Literal[
    "signed_out",
    "refresh_reused",
    "code_reused",
    "token_revoked",
    "ended_elsewhere",
    "password_changed",
    "password_reset",
]
# Fewest characters where a password is the only factor, and where there is a second one (NIST 800-63B-4).
FEWEST_ALONE = 15
FEWEST_WITH_SECOND = 8
Password = Annotated[SecretStr, Field(min_length=FEWEST_ALONE, max_length=256)]
ShortPassword = Annotated[SecretStr, Field(min_length=FEWEST_WITH_SECOND, max_length=256)]
# As it is shown to prove something: whatever its length, it is compared.
ShownPassword = Annotated[SecretStr, Field(max_length=256)]
# Of an authenticator app, or one of the recovery codes.
SignInCode = Annotated[SecretStr, Field(min_length=1, max_length=40)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class User(Resource):
    id: str
    email: str
    name: str
    created_at: Moment
    email_verified: bool = False


class Tokens(View):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # the name of a kind, no secret
    expires_in: int
    refresh_token: str
    session: str
    scope: str = ""
    id_token: str | None = None


class RegisterUser(Command[User | None]):
    """Answers the user; nothing where addresses are verified first, whether there is an account or not."""

    email: EmailStr
    name: Name
    password: Password

    def attempt(self) -> dict[str, Any]:
        return {"email": self.email, "name": self.name}


class ChangePassword(Command[None]):
    """Ends all other sessions of its owner."""

    password: ShownPassword
    new_password: ShortPassword

    def attempt(self) -> dict[str, Any]:
        return {}


class OpenSession(Command[Tokens]):
    email: EmailStr
    password: ShownPassword
    code: SignInCode | None = None

    def attempt(self) -> dict[str, Any]:
        return {"email": self.email}


class RefreshSession(Command[Tokens]):
    refresh_token: Token
    # The client that the session was opened for shows itself, with its secret if it has one.
    client_id: Annotated[str, StringConstraints(max_length=300)] | None = None
    client_secret: Annotated[SecretStr, Field(max_length=512)] | None = None

    def attempt(self) -> dict[str, Any]:
        return {"session": self.refresh_token.split(".")[0]}


class EndSession(Command[None]):
    session: str


class EndOtherSessions(Command[None]):
    """All of the caller's but the one that asks."""


class OpenedSession(View):
    """A session as its owner sees it. `seen_at` is when its tokens were last renewed, to the hour."""

    id: str
    current: bool
    opened_at: Moment
    seen_at: Moment
    address: str | None
    agent: str | None
    # How its owner proved to be who they are (RFC 8176).
    methods: tuple[str, ...]
    # What it was opened for: an OAuth client, `browser` for the sign-in page, `mes` for neither.
    client: str = "mes"


class GetMe(Query[User]):
    user: str

    def topics(self) -> tuple[str, ...]:
        return (topic("user", self.user),)


class ListSessions(Query[Page[OpenedSession]], Paged):
    """Those of a user that have not ended. `session` is the one that asks."""

    user: str
    session: str

    def topics(self) -> tuple[str, ...]:
        return (topic("sessions", self.user),)


class UserRegistered(Event):
    user: str
    email: str
    name: str
    operator: bool = False

    def topics(self) -> tuple[str, ...]:
        return (topic("user", self.user),)

    def summary(self) -> str:
        return f"{self.email} registered"


class PasswordChanged(Event, permission="audit:read"):
    user: str
    how: Literal["changed", "reset"]

    def topics(self) -> tuple[str, ...]:
        return (topic("user", self.user),)

    def summary(self) -> str:
        return f"password {self.how}"


class TriesLimited(Event, permission="audit:read"):
    """So many wrong tries that more have to wait. Told when that begins, not for each try that waits."""

    what: Literal["sign_in", "code", "registration", "mail"]
    scope: Literal["pair", "account", "address"]
    email: str = ""

    def summary(self) -> str:
        return f"too many tries ({self.what}, by {self.scope})"


class SessionOpened(Event, permission="audit:read"):
    """Recorded for the installation and for each organization of the user."""

    org: str
    user: str
    session: str

    def topics(self) -> tuple[str, ...]:
        return (topic("sessions", self.user),)

    def summary(self) -> str:
        return "signed in"


class SessionSeen(Event, permission="audit:read"):
    """The session goes on. Told once an hour, or when it is used from elsewhere."""

    user: str
    session: str

    def topics(self) -> tuple[str, ...]:
        return (topic("sessions", self.user),)

    def summary(self) -> str:
        return "session renewed"


class SessionEnded(Event, permission="audit:read"):
    user: str
    session: str
    reason: Reason

    def topics(self) -> tuple[str, ...]:
        return (topic("sessions", self.user),)

    def summary(self) -> str:
        return f"session ended: {self.reason}"
