"""Rules of users. No I/O, and no hashing: a password arrives here as its hash."""

from __future__ import annotations

from datetime import datetime

from libs.contracts.base import Event, Moment, Resource
from libs.contracts.identity import RegisterUser, User, UserRegistered
from libs.errors import Conflict, Invalid, NotFound, Unauthenticated

# Long enough to be allowed, and still among the first that anyone would try.
GUESSED_FIRST = (
    "passwordpassword",
    "password12345678",
    "password123456789",
    "123456789012345",
    "1234567890123456",
    "qwertyuiopasdfgh",
    "qwertyuiopasdfghjkl",
    "iloveyouiloveyou",
    "administrator123",
)
FEWEST_CHARACTERS = 5


class EmailTaken(Conflict):
    """There is an account with this e-mail address."""


class WeakPassword(Invalid):
    """The password is among the first that anyone would try."""


class UserNotFound(NotFound):
    """No such user."""


class SignInRequired(Unauthenticated):
    """Only a signed-in user may do this."""


class Account(Resource):
    """A user as it is kept. Not a `User`, so that the hash cannot slip into an answer."""

    id: str
    email: str
    name: str
    created_at: Moment
    password_hash: str
    operator: bool = False

    def view(self) -> User:
        return User(
            id=self.id, email=self.email, name=self.name, created_at=self.created_at, revision=self.revision
        )


def normal(email: str) -> str:
    """The form in which addresses are compared and kept."""
    return email.strip().lower()


def check_password(password: str, email: str) -> None:
    """Long is good enough, except for what is guessed first. No rules of composition."""
    plain = password.strip().lower()
    if plain in (*GUESSED_FIRST, normal(email)) or len(set(plain)) < FEWEST_CHARACTERS:
        raise WeakPassword("choose a password that is harder to guess")


def check_free(existing: Account | None) -> None:
    if existing:
        raise EmailTaken("there is an account with this e-mail address")


def register(
    command: RegisterUser, user: str, password_hash: str, now: datetime, operator: bool = False
) -> tuple[Account, list[Event]]:
    account = Account(
        id=user,
        email=normal(command.email),
        name=command.name,
        created_at=now,
        password_hash=password_hash,
        operator=operator,
        revision=1,
    )
    event = UserRegistered(user=account.id, email=account.email, name=account.name, operator=operator)
    return account, [event]


def known(account: Account | None) -> Account:
    if account is None:
        raise UserNotFound("no such user")
    return account


def signed_in(account: Account | None) -> Account:
    if account is None:
        raise SignInRequired("sign in first")
    return account
