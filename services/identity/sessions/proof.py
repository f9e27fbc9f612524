"""Proving to be somebody: what every way to sign in goes through, ours and OAuth's alike."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

from libs.service.request import Request
from libs.store.database import Change
from services.identity.sessions import domain
from services.identity.users import domain as users
from services.identity.users import store as accounts
from services.identity.users.domain import Account
from services.identity.users.passwords import Passwords


@dataclass(frozen=True)
class Proved:
    """Who has just proved to be whom, and how (RFC 8176).

    `changes` belong into the same commit as whatever the proof opens: they take it out of the world, so that
    of two who show the same code one alone gets in.
    """

    account: Account
    methods: tuple[str, ...]
    changes: tuple[Change, ...] = ()


class Prover:
    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords

    async def prove(
        self, request: Request, email: str, password: SecretStr, code: SecretStr | None = None
    ) -> Proved:
        """Raises SignInRefused, which never tells what was wrong."""
        account = await accounts.by_email(request.scope, users.normal(email))
        password_hash = account.password_hash if account else None
        if not await self._passwords.fits(password.get_secret_value(), password_hash):
            raise domain.SignInRefused("the e-mail address or the password is wrong")
        assert account is not None
        return Proved(account, ("pwd",))
