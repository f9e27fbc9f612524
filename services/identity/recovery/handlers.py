"""The bus edge of mailed links: load, decide, save. To ask for one has the same answer for every address."""

from __future__ import annotations

from libs.contracts.identity import ConfirmReset, ConfirmVerification, RequestReset, RequestVerification
from libs.service.request import Request
from services.identity.factors import domain as factors
from services.identity.factors import store as second_factors
from services.identity.keys.tokens import TokenMaker
from services.identity.mail.domain import Kind
from services.identity.mail.postman import Postman
from services.identity.recovery import domain
from services.identity.recovery.domain import Link
from services.identity.sessions.handlers import ending
from services.identity.throttling.handlers import Throttling
from services.identity.users import domain as users
from services.identity.users import store as accounts
from services.identity.users.domain import Account
from services.identity.users.handlers import act_as
from services.identity.users.passwords import Passwords


class Recovery:
    def __init__(
        self, passwords: Passwords, tokens: TokenMaker, throttling: Throttling, postman: Postman
    ) -> None:
        self._passwords = passwords
        self._tokens = tokens
        self._throttling = throttling
        self._postman = postman

    async def request_reset(self, command: RequestReset, request: Request) -> None:
        email = users.normal(command.email)
        await self._throttling.spend(request, "mail", email)
        account = await accounts.by_email(request.scope, email)
        await self._send("reset", account, request)

    async def confirm_reset(self, command: ConfirmReset, request: Request) -> None:
        account = await self._linked(self._tokens.link_claim("reset", command.token), request)
        factor = await second_factors.factor(request.scope, account.id)
        password = command.password.get_secret_value()
        is_long = users.check_password(password, account.email, account.name, factors.is_on(factor))
        password_hash = await self._passwords.hash(password)
        changed, events = users.with_reset_password(account, password_hash, is_long)
        act_as(request, account)
        ended, told = await ending(request, account.id, "password_reset")
        letters, queued = self._postman.letter("password_changed", changed, request.now)
        await request.commit(
            [accounts.ACCOUNTS.put(changed), *ended, *letters],
            [*events, *told, *queued],
            reply=None,
        )
        self._postman.wake()

    async def request_verification(self, command: RequestVerification, request: Request) -> None:
        email = users.normal(command.email)
        await self._throttling.spend(request, "mail", email)
        account = await accounts.by_email(request.scope, email)
        await self._send("verify", None if account and account.email_verified else account, request)

    async def confirm_verification(self, command: ConfirmVerification, request: Request) -> None:
        account = await self._linked(self._tokens.link_claim("verify", command.token), request)
        changed, events = users.verified(domain.check_unverified(account))
        act_as(request, account)
        await request.commit([accounts.ACCOUNTS.put(changed)], events, reply=None)

    async def _send(self, kind: Kind, account: Account | None, request: Request) -> None:
        """A letter to nobody is queued as well, and not sent: the same work, whoever is asked for."""
        changes, events = self._postman.letter(kind, account, request.now)
        await request.commit(changes, events, reply=None)
        self._postman.wake()

    async def _linked(self, link: Link | None, request: Request) -> Account:
        account = await accounts.by_id(request.scope, link.user) if link else None
        return domain.check(link, account, request.now)
