"""Links that are mailed: verifying an e-mail address, and choosing a new password."""

from __future__ import annotations

from typing import Any

from pydantic import EmailStr

from libs.contracts.base import Command, Event, topic
from libs.contracts.identity.people import ShortPassword, Token


class RequestVerification(Command[None]):
    """The same answer whether there is such an account or not, as for a reset."""

    email: EmailStr


class ConfirmVerification(Command[None]):
    token: Token

    def attempt(self) -> dict[str, Any]:
        return {}


class RequestReset(Command[None]):
    email: EmailStr


class ConfirmReset(Command[None]):
    """Ends every session of the account."""

    token: Token
    password: ShortPassword

    def attempt(self) -> dict[str, Any]:
        return {}


class LetterQueued(Event, permission="audit:read"):
    """A mail will be sent. To whom is in the queue alone."""

    user: str
    kind: str

    def summary(self) -> str:
        return f"mail: {self.kind}"


class EmailVerified(Event, permission="audit:read"):
    user: str

    def topics(self) -> tuple[str, ...]:
        return (topic("user", self.user),)

    def summary(self) -> str:
        return "e-mail address verified"
