"""Rules of users. No I/O, and no hashing: a password arrives here as its hash."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Literal

from libs.contracts.base import Event, Moment, Resource
from libs.contracts.identity import (
    FEWEST_ALONE,
    FEWEST_WITH_SECOND,
    EmailVerified,
    PasswordChanged,
    RegisterUser,
    User,
    UserRegistered,
)
from libs.errors import Conflict, Invalid, NotFound, Unauthenticated
from services.identity.users import guessable


class EmailTaken(Conflict):
    """There is an account with this e-mail address."""


class WeakPassword(Invalid):
    """The password is among the first that anyone would try."""


class PasswordTooShort(Invalid):
    """A password that is the only factor needs 15 characters, beside a second factor 8."""


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
    # Long enough to be the only factor.
    password_is_long: bool = True
    # How often what it is signed in with has been replaced. Links that were mailed name it, and die with it.
    credentials: int = 0
    email_verified: bool = False
    operator: bool = False
    # Grows when what readers see changes; a hash that is made anew is not seen.
    edition: int = 1

    def view(self) -> User:
        return User(
            id=self.id,
            email=self.email,
            name=self.name,
            created_at=self.created_at,
            email_verified=self.email_verified,
            revision=self.edition,
        )


def normal(email: str) -> str:
    """The form in which addresses are compared and kept."""
    return email.strip().lower()


def spelt(password: str) -> str:
    """The one spelling of a password: the same signs typed on another keyboard give the same text."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, email: str, name: str = "", second_factor: bool = False) -> bool:
    """Long is good enough, except for what is guessed first. No rules of composition. Answers whether it is
    long enough to be the only factor."""
    length = len(spelt(password))
    fewest = FEWEST_WITH_SECOND if second_factor else FEWEST_ALONE
    if length < fewest:
        raise PasswordTooShort(f"{fewest} characters at least")
    if guessable.pieces(password, (normal(email), name)) < guessable.FEWEST_PIECES:
        raise WeakPassword("choose a password that is harder to guess")
    return length >= FEWEST_ALONE


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


def rehashed(account: Account, password_hash: str) -> Account:
    """The same password under stronger parameters."""
    return account.model_copy(update={"password_hash": password_hash, "revision": account.revision + 1})


def with_password(
    account: Account, password_hash: str, is_long: bool, how: Literal["changed", "reset"]
) -> tuple[Account, list[Event]]:
    changed = account.model_copy(
        update={
            "password_hash": password_hash,
            "password_is_long": is_long,
            "credentials": account.credentials + 1,
            "revision": account.revision + 1,
        }
    )
    return changed, [PasswordChanged(user=account.id, how=how)]


def with_reset_password(account: Account, password_hash: str, is_long: bool) -> tuple[Account, list[Event]]:
    """Whoever has the link has the mailbox, so the address is verified as well."""
    changed, events = with_password(account, password_hash, is_long, "reset")
    if changed.email_verified:
        return changed, events
    seen = {"email_verified": True, "edition": changed.edition + 1}
    return changed.model_copy(update=seen), [*events, EmailVerified(user=account.id)]


def registered_anew(
    account: Account, command: RegisterUser, password_hash: str
) -> tuple[Account, list[Event]]:
    """Nobody has shown that an unverified address is theirs, so the next one who registers it may: the link
    that is mailed decides. Links of the former registration are dead."""
    changed, events = with_password(account, password_hash, True, "changed")
    seen = {"name": command.name, "edition": account.edition + 1}
    return changed.model_copy(update=seen), events


def verified(account: Account) -> tuple[Account, list[Event]]:
    if account.email_verified:
        return account, []
    changed = account.model_copy(
        update={"email_verified": True, "edition": account.edition + 1, "revision": account.revision + 1}
    )
    return changed, [EmailVerified(user=account.id)]


def known(account: Account | None) -> Account:
    if account is None:
        raise UserNotFound("no such user")
    return account


def signed_in(account: Account | None) -> Account:
    if account is None:
        raise SignInRequired("sign in first")
    return account
