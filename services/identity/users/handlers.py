"""The bus edge of users: load, decide, save."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime

from pydantic import SecretStr

from libs.contracts.base import Event
from libs.contracts.identity import GetMe, RegisterUser, User
from libs.permissions import PLATFORM
from libs.service.queries import reads_across
from libs.service.request import Request
from libs.store.commit import StateChanged
from libs.store.database import Change, Scope
from libs.store.journal import Journal
from services.identity.mail.domain import Kind
from services.identity.mail.postman import Postman
from services.identity.managed import store as managed
from services.identity.members import store as members
from services.identity.throttling.handlers import Throttling
from services.identity.users import domain, store
from services.identity.users.domain import Account
from services.identity.users.passwords import Passwords

logger = logging.getLogger(__name__)


class Users:
    """`verify_email`: nobody is told whether an address has an account, but by a mail to that address."""

    def __init__(
        self, passwords: Passwords, throttling: Throttling, postman: Postman, verify_email: bool
    ) -> None:
        self._passwords = passwords
        self._throttling = throttling
        self._postman = postman
        self._verify_email = verify_email

    async def register_user(self, command: RegisterUser, request: Request) -> User | None:
        await self._throttling.spend(request, "registration")
        password = command.password.get_secret_value()
        domain.check_password(password, command.email, command.name)
        existing = await store.by_email(request.scope, domain.normal(command.email))
        # Before anything is decided: the same work whether there is such an account or not.
        password_hash = await self._passwords.hash(password)
        if self._verify_email:
            await self._register_quietly(command, existing, password_hash, request)
            return None
        domain.check_free(existing)
        account, events = domain.register(command, _new_id(), password_hash, request.now)
        if not request.caller.subject.startswith("usr_"):
            act_as(request, account)
        return await store.save(request, account, events)

    async def _register_quietly(
        self, command: RegisterUser, existing: Account | None, password_hash: str, request: Request
    ) -> None:
        """The same answer for everybody. The mail makes the difference."""
        changes: list[Change] = []
        events: list[Event] = []
        account = existing
        if existing is None:
            account, events = domain.register(command, _new_id(), password_hash, request.now)
        elif not existing.email_verified and not existing.operator:
            account, events = domain.registered_anew(existing, command, password_hash)
        if account is not existing and account:
            changes.append(store.ACCOUNTS.put(account))
        kind: Kind = "verify" if account is not existing else "account_exists"
        letters, queued = self._postman.letter(kind, account, request.now)
        await request.commit([*changes, *letters], [*events, *queued], reply=None)
        self._postman.wake()

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


@reads_across
async def get_me(query: GetMe, scope: Scope) -> User:
    """A user whom an organization manages is kept there."""
    account = await store.by_id(scope, query.user)
    if account:
        return account.view()
    for line in await members.joined_by(scope, query.user):
        found = await managed.by_id(scope, line.organization, query.user)
        if found:
            return User(
                id=found.id,
                email=found.email,
                name=found.name,
                created_at=found.created_at,
                revision=found.revision,
            )
    return domain.known(None).view()


def act_as(request: Request, account: Account, session: str | None = None) -> None:
    """From here on the request's author is the user who has just proved to be one."""
    request.caller = request.caller.model_copy(
        update={"subject": account.id, "name": account.email, "session": session or request.caller.session}
    )


async def caller_account(request: Request) -> Account:
    return domain.signed_in(await store.by_id(request.scope, request.caller.subject))


def _new_id() -> str:
    return f"usr_{secrets.token_hex(12)}"
