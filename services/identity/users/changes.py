"""The bus edge of changing one's own password: load, decide, save."""

from __future__ import annotations

from libs.contracts.identity import ChangePassword
from libs.service.request import Request
from services.identity.factors import domain as factors
from services.identity.factors import store as second_factors
from services.identity.mail.postman import Postman
from services.identity.sessions.handlers import ending
from services.identity.sessions.proof import Prover
from services.identity.users import domain, store
from services.identity.users.handlers import caller_account
from services.identity.users.passwords import Passwords


class PasswordChanges:
    def __init__(self, passwords: Passwords, prover: Prover, postman: Postman) -> None:
        self._passwords = passwords
        self._prover = prover
        self._postman = postman

    async def change_password(self, command: ChangePassword, request: Request) -> None:
        """Needs the present one, which is throttled as a sign-in is: a found session must not guess it."""
        caller = await caller_account(request)
        account = await self._prover.password(request, caller.email, command.password)
        factor = await second_factors.factor(request.scope, account.id)
        new = command.new_password.get_secret_value()
        is_long = domain.check_password(new, account.email, account.name, factors.is_on(factor))
        password_hash = await self._passwords.hash(new)
        changed, events = domain.with_password(account, password_hash, is_long, "changed")
        ended, told = await ending(request, account.id, "password_changed", request.caller.session)
        letters, queued = self._postman.letter("password_changed", changed, request.now)
        changes = [store.ACCOUNTS.put(changed), *ended, *letters]
        await request.commit(changes, [*events, *told, *queued], reply=None)
        self._postman.wake()
