"""The bus edge of users: load, decide, save."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime

from pydantic import SecretStr

from libs.contracts.identity import GetMe, RegisterUser, User
from libs.permissions import PLATFORM
from libs.service.request import Request
from libs.store.commit import StateChanged
from libs.store.database import Scope
from libs.store.journal import Journal
from services.identity.users import domain, store
from services.identity.users.domain import Account
from services.identity.users.passwords import Passwords

logger = logging.getLogger(__name__)


class Users:
    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords

    async def register_user(self, command: RegisterUser, request: Request) -> User:
        domain.check_free(await store.by_email(request.scope, domain.normal(command.email)))
        domain.check_password(command.password.get_secret_value(), command.email)
        password_hash = await self._passwords.hash(command.password.get_secret_value())
        account, events = domain.register(command, _new_id(), password_hash, request.now)
        if not request.caller.subject.startswith("usr_"):
            act_as(request, account)
        return await store.save(request, account, events)

    async def ensure_administrator(self, journal: Journal, email: str, password: SecretStr) -> None:
        """Makes the operator's account, unless there is one. Several replicas may do so at once."""
        scope = journal.database.tenant(PLATFORM)
        while True:
            existing = await store.by_email(scope, domain.normal(email))
            if existing:
                if not existing.operator:
                    # Whoever registered it first may be somebody else; addresses are not verified.
                    logger.warning("%s has an account already and does not become an operator", email)
                return
            password_hash = await self._passwords.hash(password.get_secret_value())
            command = RegisterUser.model_construct(email=email, name="Administrator", password=password)
            account, events = domain.register(
                command, _new_id(), password_hash, datetime.now(UTC), operator=True
            )
            try:
                await store.save_unasked(journal, account, events)
            except StateChanged:
                continue


async def get_me(query: GetMe, scope: Scope) -> User:
    return domain.known(await store.by_id(scope, query.user)).view()


def act_as(request: Request, account: Account, session: str | None = None) -> None:
    """From here on the request's author is the user who has just proved to be one."""
    request.caller = request.caller.model_copy(
        update={"subject": account.id, "name": account.email, "session": session or request.caller.session}
    )


async def caller_account(request: Request) -> Account:
    return domain.signed_in(await store.by_id(request.scope, request.caller.subject))


def _new_id() -> str:
    return f"usr_{secrets.token_hex(12)}"
