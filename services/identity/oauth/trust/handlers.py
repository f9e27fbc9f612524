"""The bus edge of trust rules and of the exchange by them: load, decide, save."""

from __future__ import annotations

import secrets

from libs.contracts.base import Page
from libs.contracts.identity import (
    CreateTrustRule,
    ExchangeToken,
    Granted,
    ListTrustRules,
    RemoveTrustRule,
    TrustRule,
)
from libs.jwks import KeySets
from libs.oauth import InvalidGrant, InvalidRequest, InvalidTarget
from libs.service.request import Request
from libs.store.commit import AlreadyAnswered
from libs.store.database import Scope
from services.identity import access
from services.identity.accounts import domain as accounts
from services.identity.accounts import store as known_accounts
from services.identity.accounts.handlers import held_by
from services.identity.oauth.machines.handlers import act_as
from services.identity.oauth.machines.tokens import ACCESS_TOKEN, MachineTokens
from services.identity.oauth.trust import domain, runners, store
from services.identity.oauth.trust.domain import Shown

SUBJECT_TOKEN_TYPES = frozenset(
    {"urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"}
)


class TrustRules:
    """`insecure` allows issuers over http, at loopback: for development and tests."""

    def __init__(self, tokens: MachineTokens, keys: KeySets, insecure: bool) -> None:
        self._tokens = tokens
        self._keys = keys
        self._insecure = insecure

    async def create_trust_rule(self, command: CreateTrustRule, request: Request) -> TrustRule:
        before = await access.access(request.scope, command.org)
        account = accounts.known(
            await known_accounts.account(request.scope, command.account), command.account
        )
        grants = await held_by(request.scope, command.org, account.id)
        existing = await store.rules(request.scope, account.id)
        name = f"tru_{secrets.token_hex(12)}"
        rule, events = domain.create(
            existing, command, name, grants, request.caller, self._insecure, request.now
        )
        changes = [access.moved(before, command.org), store.TRUST_RULES.put(rule)]
        return await request.commit(changes, events, reply=rule)

    async def exchange_token(self, command: ExchangeToken, request: Request) -> Granted:
        _check_types(command)
        account = await known_accounts.account(request.scope, command.account)
        if account is None:
            raise InvalidTarget("no such service account")
        rules = await store.rules(request.scope, account.id)
        token = command.subject_token.get_secret_value()
        issuer = runners.unverified(token)[1].get("iss")
        if not any(rule.issuer == issuer for rule in rules):
            # Before anybody is asked for keys: only issuers that the organization named are.
            raise InvalidGrant("no trust rule of the service account takes this token")
        claims = await runners.verified(token, str(issuer), self._keys)
        end = domain.check_times(claims, request.now)
        rule = domain.matching(rules, claims)
        act_as(request, account.id, account.name)
        made, events = domain.exchanged(command.org, account, rule, command.scope, claims, request.now)
        answer = self._tokens.granted(made, account.name, request.now)
        name = domain.shown_id(claims)
        if await store.shown(request.scope, name):
            recorded = await request.journal.recorded(request.id)
            if recorded:
                # The same request once more.
                return self._tokens.granted_before(recorded, account.name, request)
            raise InvalidGrant("the token has been exchanged before")
        shown = Shown(id=store.name_of(name), expires_at=end, revision=1)
        try:
            # A rule that goes meanwhile takes the token along, so nothing has to be put in a row with it.
            return await request.commit([store.SHOWN.put(shown)], events, reply=answer, recorded=made)
        except AlreadyAnswered as answered:
            return self._tokens.granted_before(answered.recorded, account.name, request)

    exchange_token.replays_itself = True  # type: ignore[attr-defined]  # read by the edge


def _check_types(command: ExchangeToken) -> None:
    if command.subject_token_type not in SUBJECT_TOKEN_TYPES:
        raise InvalidRequest("the subject token is a JWT or an id token")
    if command.requested_token_type not in (None, ACCESS_TOKEN):
        raise InvalidRequest("access tokens are all there is")


async def remove_trust_rule(command: RemoveTrustRule, request: Request) -> None:
    before = await access.access(request.scope, command.org)
    rule = domain.known(await store.rule(request.scope, command.rule), command.account, command.rule)
    changes = [access.moved(before, command.org), store.TRUST_RULES.delete(rule)]
    await request.commit(changes, domain.remove(rule, command.org), reply=None)


async def list_trust_rules(query: ListTrustRules, scope: Scope) -> Page[TrustRule]:
    accounts.known(await known_accounts.account(scope, query.account), query.account)
    return Page[TrustRule](items=tuple(await store.rules(scope, query.account)))
