"""Proving to be somebody: what every way to sign in goes through, ours and OAuth's alike."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

from libs.contracts.base import Event
from libs.permissions import PLATFORM
from libs.service.request import Request
from libs.store.database import Change
from services.identity.factors.handlers import SecondFactors
from services.identity.sessions import domain
from services.identity.throttling.handlers import Throttling
from services.identity.users import domain as users
from services.identity.users import store as accounts
from services.identity.users.domain import Account
from services.identity.users.passwords import Passwords


@dataclass(frozen=True)
class Proved:
    """Who has just proved to be whom, and how (RFC 8176).

    `changes` and `events` belong into the same commit as whatever the proof opens: they take it out of the
    world, so that of two who show the same code one alone gets in.
    """

    account: Account
    methods: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    events: tuple[Event, ...] = ()


class Prover:
    """`verified_only` refuses who has not shown that the e-mail address is theirs."""

    def __init__(
        self, passwords: Passwords, throttling: Throttling, factors: SecondFactors, verified_only: bool
    ) -> None:
        self._passwords = passwords
        self._throttling = throttling
        self._factors = factors
        self._verified_only = verified_only

    async def prove(
        self, request: Request, email: str, password: SecretStr, code: SecretStr | None = None
    ) -> Proved:
        """Raises SignInRefused, which never tells what was wrong; TooManyTries; and after the right password
        SecondFactorRequired, CodeRefused or EmailNotVerified."""
        email = users.normal(email)
        account = await self.password(request, email, password)
        if self._verified_only and not account.email_verified and not account.operator:
            raise domain.EmailNotVerified("follow the link in the mail first")
        methods, changes, events = await self._factors.prove(request, account, code)
        changes += await self._throttling.right(request, email)
        plain = password.get_secret_value()
        if self._passwords.is_outdated(account.password_hash):
            # Made when less work was thought enough; only now is the password at hand.
            stronger = users.rehashed(account, await self._passwords.hash(plain))
            changes.append(accounts.ACCOUNTS.put(stronger, org=PLATFORM))
        return Proved(account, ("pwd", *methods), tuple(changes), tuple(events))

    async def password(self, request: Request, email: str, password: SecretStr) -> Account:
        """The account whose password that is: the same work for an address that has none."""
        async with self._throttling.one_at_a_time(email):
            await self._throttling.admit(request, email)
            account = await accounts.by_email(request.scope, email)
            password_hash = account.password_hash if account else None
            if not await self._passwords.fits(password.get_secret_value(), password_hash):
                await self._throttling.wrong(request, email)
                raise domain.SignInRefused("the e-mail address or the password is wrong")
        assert account is not None
        return account
