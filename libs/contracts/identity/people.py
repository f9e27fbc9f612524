"""Users, and the sessions in which they are signed in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import EmailStr, Field, SecretStr, StringConstraints

from libs.contracts.base import Command, Event, Moment, Name, Query, Resource, View, topic

Password = Annotated[SecretStr, Field(min_length=15, max_length=256)]
Code = Annotated[SecretStr, Field(min_length=1, max_length=40)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class User(Resource):
    id: str
    email: str
    name: str
    created_at: Moment


class Tokens(View):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # the name of a kind, no secret
    expires_in: int
    refresh_token: str
    session: str


class RegisterUser(Command[User]):
    email: EmailStr
    name: Name
    password: Password

    def attempt(self) -> dict[str, Any]:
        return {"email": self.email, "name": self.name}


class OpenSession(Command[Tokens]):
    email: EmailStr
    password: Annotated[SecretStr, Field(max_length=256)]
    # Of an authenticator app, or a recovery code.
    code: Code | None = None

    def attempt(self) -> dict[str, Any]:
        return {"email": self.email}


class RefreshSession(Command[Tokens]):
    refresh_token: Token

    def attempt(self) -> dict[str, Any]:
        return {"session": self.refresh_token.split(".")[0]}


class EndSession(Command[None]):
    session: str


class GetMe(Query[User]):
    user: str

    def topics(self) -> tuple[str, ...]:
        return (topic("user", self.user),)


class UserRegistered(Event):
    user: str
    email: str
    name: str
    operator: bool = False

    def topics(self) -> tuple[str, ...]:
        return (topic("user", self.user),)

    def summary(self) -> str:
        return f"{self.email} registered"


class SessionOpened(Event, permission="audit:read"):
    """Recorded for the installation and for each organization of the user."""

    org: str
    user: str
    session: str

    def summary(self) -> str:
        return "signed in"


class SessionEnded(Event, permission="audit:read"):
    user: str
    session: str
    reason: Literal["signed_out", "refresh_reused"]

    def summary(self) -> str:
        return f"session ended: {self.reason}"
