"""The bus edge of authenticator apps and recovery codes: load, decide, save.

What is shown once is derived from the keyring, so a repeated request is shown it again, and nobody else.
"""

from __future__ import annotations

import secrets

from pydantic import SecretStr

from libs.contracts.base import Event, View
from libs.contracts.identity import (
    ConfirmTotp,
    EnrolTotp,
    Factors,
    GetFactors,
    NewTotp,
    RecoveryCodes,
    RemoveTotp,
    ReplaceRecoveryCodes,
)
from libs.service.request import Request
from libs.store.commit import AlreadyAnswered
from libs.store.database import Change, Scope
from services.identity.factors import domain, store
from services.identity.factors.domain import CodeRefused, SecondFactor
from services.identity.keys.tokens import TokenMaker
from services.identity.passkeys import store as passkeys
from services.identity.repeats import first_answer
from services.identity.sessions.freshness import Freshness
from services.identity.throttling.handlers import Throttling
from services.identity.users.domain import Account
from services.identity.users.handlers import caller_account

TOTP = "totp"
RECOVERY = "recovery"


class Issued(View):
    """What is recorded of an answer that shows something once: enough to derive it again."""

    user: str
    name: str


class SecondFactors:
    def __init__(
        self, tokens: TokenMaker, throttling: Throttling, freshness: Freshness, portal_name: str
    ) -> None:
        self._tokens = tokens
        self._throttling = throttling
        self._freshness = freshness
        self._portal_name = portal_name

    async def prove(
        self, request: Request, account: Account, code: SecretStr | None
    ) -> tuple[tuple[str, ...], list[Change], list[Event]]:
        """After the right password: what else it takes. Answers how it was proved and what to save."""
        factor = await store.factor(request.scope, account.id)
        if factor is None or not factor.confirmed_at:
            return (), [], []
        if code is None:
            raise domain.SecondFactorRequired
        await self._throttling.admit_code(request, account.email)
        try:
            used = domain.use(factor, self._secret(factor), code.get_secret_value(), request.now)
        except CodeRefused:
            await self._throttling.wrong_code(request, account.email)
            raise
        return (used.method, "mfa"), [store.SECOND_FACTORS.put(used.factor)], used.events

    async def enrol_totp(self, command: EnrolTotp, request: Request) -> NewTotp:
        account = await caller_account(request)
        await self._freshness.check(request)
        before = await store.factor(request.scope, account.id)
        factor = domain.enrol(before, account.id, secrets.token_hex(12), request.now)
        try:
            return await request.commit(
                [store.SECOND_FACTORS.put(factor)],
                [],
                reply=self._shown(account, factor.enrolment),
                recorded=Issued(user=account.id, name=factor.enrolment),
            )
        except AlreadyAnswered as answered:
            first = Issued.model_validate_json(first_answer(answered.recorded, request))
            return self._shown(account, first.name)

    enrol_totp.replays_itself = True  # type: ignore[attr-defined]  # read by the edge

    async def confirm_totp(self, command: ConfirmTotp, request: Request) -> RecoveryCodes:
        account = await caller_account(request)
        await self._freshness.check(request)
        if recorded := await request.journal.recorded(request.id):
            # Before any rule: by now the code has been used.
            return self._codes(account.id, Issued.model_validate_json(first_answer(recorded, request)).name)
        await self._throttling.admit_code(request, account.email)
        factor = await store.factor(request.scope, account.id)
        name = secrets.token_hex(12)
        codes = self._codes(account.id, name)
        secret = self._secret(factor) if factor else ""
        try:
            confirmed, events = domain.confirm(
                factor, secret, command.code.get_secret_value(), name, codes.codes, request.now
            )
        except CodeRefused:
            await self._throttling.wrong_code(request, account.email)
            raise
        return await self._save_codes(request, confirmed, events, codes)

    confirm_totp.replays_itself = True  # type: ignore[attr-defined]  # read by the edge

    async def replace_recovery_codes(self, command: ReplaceRecoveryCodes, request: Request) -> RecoveryCodes:
        account = await caller_account(request)
        await self._freshness.check(request)
        if recorded := await request.journal.recorded(request.id):
            return self._codes(account.id, Issued.model_validate_json(first_answer(recorded, request)).name)
        name = secrets.token_hex(12)
        codes = self._codes(account.id, name)
        factor = await store.factor(request.scope, account.id)
        replaced, events = domain.replace_codes(factor, name, codes.codes)
        return await self._save_codes(request, replaced, events, codes)

    replace_recovery_codes.replays_itself = True  # type: ignore[attr-defined]  # read by the edge

    async def remove_totp(self, command: RemoveTotp, request: Request) -> None:
        account = await caller_account(request)
        await self._freshness.check(request)
        factor = await store.factor(request.scope, account.id)
        empty, events = domain.remove(factor, account)
        await request.commit([store.SECOND_FACTORS.put(empty)], events, reply=None)

    async def _save_codes(
        self, request: Request, factor: SecondFactor, events: list[Event], codes: RecoveryCodes
    ) -> RecoveryCodes:
        recorded = Issued(user=factor.user, name=factor.codes)
        return await request.commit(
            [store.SECOND_FACTORS.put(factor)], events, reply=codes, recorded=recorded
        )

    def _shown(self, account: Account, enrolment: str) -> NewTotp:
        secret = self._derived(account.id, enrolment)
        return NewTotp(secret=secret, uri=domain.uri(secret, account.email, self._portal_name))

    def _secret(self, factor: SecondFactor) -> str:
        return self._derived(factor.user, factor.enrolment)

    def _derived(self, user: str, enrolment: str) -> str:
        """The one place where a secret of an authenticator app comes from. None is stored: it is as safe as
        the keyring, and sealing that seals these."""
        return domain.totp_secret(self._tokens.keyring.derive(TOTP, user, enrolment))

    def _codes(self, user: str, name: str) -> RecoveryCodes:
        return RecoveryCodes(codes=domain.recovery_texts(self._tokens.keyring.derive(RECOVERY, user, name)))


async def get_factors(query: GetFactors, scope: Scope) -> Factors:
    factor = await store.factor(scope, query.user)
    on = domain.is_on(factor)
    return Factors(
        totp=on,
        recovery_codes_left=len(factor.left) if factor and on else 0,
        passkeys=len(await passkeys.of_user(scope, query.user)),
    )
