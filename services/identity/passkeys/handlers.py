"""The bus edge of passkeys: load, decide, save."""

from __future__ import annotations

from libs.contracts.base import Page
from libs.contracts.identity import (
    AddPasskey,
    Challenge,
    ListPasskeys,
    OpenSessionWithPasskey,
    Passkey,
    PublicKeyCredential,
    RemovePasskey,
    StartPasskey,
    StartPasskeySignIn,
    Tokens,
)
from libs.service.request import Request
from libs.store.database import Scope
from services.identity.passkeys import domain, store
from services.identity.passkeys.ceremonies import Ceremonies
from services.identity.passkeys.domain import PasskeyCloned, PasskeyRefused, StoredPasskey
from services.identity.sessions.freshness import Freshness
from services.identity.sessions.handlers import Sessions
from services.identity.sessions.proof import Proved
from services.identity.users import store as accounts
from services.identity.users.handlers import caller_account


class Passkeys:
    def __init__(self, ceremonies: Ceremonies, sessions: Sessions, freshness: Freshness) -> None:
        self._ceremonies = ceremonies
        self._sessions = sessions
        self._freshness = freshness

    async def start_passkey_sign_in(self, command: StartPasskeySignIn, request: Request) -> Challenge:
        return Challenge(options=self._ceremonies.authentication(request.now))

    async def prove(self, request: Request, credential: PublicKeyCredential) -> Proved:
        """Raises PasskeyRefused, or PasskeyCloned. A passkey is two factors: a device, and what opens it."""
        spent = self._ceremonies.challenged(credential, request.now)
        if await store.is_spent(request.scope, spent.id):
            raise PasskeyRefused("the challenge was answered already")
        passkey, count = await self._shown(request, credential)
        try:
            used, events = domain.use(passkey, count, request.now)
        except PasskeyCloned:
            if not passkey.cloned:
                await store.save_distrusted(request, domain.distrusted(passkey))
            raise
        account = await accounts.by_id(request.scope, passkey.user)
        if account is None:
            raise PasskeyRefused("the passkey was refused")
        changes = (store.PASSKEYS.put(used), store.SPENT_CHALLENGES.put(spent))
        return Proved(account, ("hwk", "user", "mfa"), changes, tuple(events))

    async def _shown(self, request: Request, credential: PublicKeyCredential) -> tuple[StoredPasskey, int]:
        """The passkey that was shown, and its counter."""
        passkey = await store.passkey(request.scope, domain.passkey_id(str(credential.get("id"))))
        if passkey is None:
            raise PasskeyRefused("the passkey was refused")
        return passkey, self._ceremonies.shown(credential, passkey, request.now)

    async def open_session_with_passkey(self, command: OpenSessionWithPasskey, request: Request) -> Tokens:
        if recorded := await request.journal.recorded(request.id):
            # The challenge is spent by now. While it would still be good, who repeats is told again.
            await self._shown(request, command.credential)
            return await self._sessions.opened_before(recorded, request)
        return await self._sessions.open(await self.prove(request, command.credential), request)

    open_session_with_passkey.replays_itself = True  # type: ignore[attr-defined]  # read by the edge

    async def start_passkey(self, command: StartPasskey, request: Request) -> Challenge:
        account = await caller_account(request)
        await self._freshness.check(request)
        held = await store.of_user(request.scope, account.id)
        return Challenge(options=self._ceremonies.registration(account, held, request.now))

    async def add_passkey(self, command: AddPasskey, request: Request) -> Passkey:
        account = await caller_account(request)
        await self._freshness.check(request)
        new, spent = self._ceremonies.created(command.credential, account, command.name, request.now)
        if await store.is_spent(request.scope, spent.id):
            raise domain.PasskeyInvalid("the challenge was answered already")
        held = await store.of_user(request.scope, account.id)
        passkey, events = domain.add(new, await store.passkey(request.scope, new.id), len(held))
        changes = [store.PASSKEYS.put(passkey), store.SPENT_CHALLENGES.put(spent)]
        return await request.commit(changes, events, reply=passkey.view())

    async def remove_passkey(self, command: RemovePasskey, request: Request) -> None:
        await self._freshness.check(request)
        found = await store.passkey(request.scope, command.passkey)
        passkey, events = domain.remove(found, request.caller.subject)
        await request.commit([store.PASSKEYS.delete(passkey)], events, reply=None)


async def list_passkeys(query: ListPasskeys, scope: Scope) -> Page[Passkey]:
    found = await store.of_user(scope, query.user)
    return Page[Passkey](items=tuple(passkey.view() for passkey in found))
