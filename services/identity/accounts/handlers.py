"""The bus edge of service accounts and their keys: load, decide, save."""

from __future__ import annotations

import secrets

from libs.contracts.base import Page
from libs.contracts.identity import (
    ApiKey,
    ApiKeyWithSecret,
    CreateKey,
    CreateServiceAccount,
    DeleteServiceAccount,
    KeysUsed,
    ListKeys,
    ListServiceAccounts,
    NoteKeysUsed,
    RevokeKey,
    ServiceAccount,
    node,
)
from libs.permissions import Grant
from libs.service.request import Request
from libs.store.commit import AlreadyAnswered, RecordedReply
from libs.store.database import Change, Scope
from services.identity import access
from services.identity.accounts import domain, store
from services.identity.accounts.domain import KeyUse
from services.identity.assignments import domain as assignments
from services.identity.assignments import store as assigned
from services.identity.keys.tokens import TokenMaker
from services.identity.oauth.trust import domain as trust_rules
from services.identity.oauth.trust import store as trust
from services.identity.organizations import domain as organizations
from services.identity.organizations import store as orgs
from services.identity.repeats import first_answer
from services.identity.roles import store as roles


class ApiKeys:
    """Those that derive keys."""

    def __init__(self, tokens: TokenMaker) -> None:
        self._tokens = tokens

    async def create_key(self, command: CreateKey, request: Request) -> ApiKeyWithSecret:
        recorded = await request.journal.recorded(request.id)
        if recorded:
            # Before any rule: by now the key may have expired.
            return self._made_before(recorded, request)
        before = await access.access(request.scope, command.org)
        account = domain.known(await store.account(request.scope, command.account), command.account)
        grants = await held_by(request.scope, command.org, account.id)
        issued = len(await store.keys(request.scope, account.id))
        name = _new_id("key")
        text = self._text(command.org, name)
        key, events = domain.issue(command, name, text, issued, grants, request.caller, request.now)
        changes = [access.moved(before, command.org), store.API_KEYS.put(key)]
        answer = ApiKeyWithSecret(**key.view().model_dump(), key=text)
        try:
            return await request.commit(changes, events, reply=answer, recorded=key.view())
        except AlreadyAnswered as answered:
            return self._made_before(answered.recorded, request)

    create_key.replays_itself = True  # type: ignore[attr-defined]  # read by the edge

    def _made_before(self, recorded: RecordedReply, request: Request) -> ApiKeyWithSecret:
        key = ApiKey.model_validate_json(first_answer(recorded, request))
        return ApiKeyWithSecret(**key.model_dump(), key=self._text(request.org, key.id))

    def _text(self, organization: str, key: str) -> str:
        return domain.derived(bytes.fromhex(self._tokens.keyring.secret), organization, key)


async def create_service_account(command: CreateServiceAccount, request: Request) -> ServiceAccount:
    organizations.known(await orgs.organization(request.scope, command.org), command.org)
    existing = await store.by_slug(request.scope, command.slug)
    account, events = domain.create(existing, command, _new_id("sva"), request.caller.subject, request.now)
    return await request.commit([store.SERVICE_ACCOUNTS.put(account)], events, reply=account)


async def delete_service_account(command: DeleteServiceAccount, request: Request) -> None:
    before = await access.access(request.scope, command.org)
    account = domain.known(await store.account(request.scope, command.account), command.account)
    keys = await store.keys(request.scope, account.id)
    rules = await trust.rules(request.scope, account.id)
    held = await assigned.of_subject(request.scope, command.org, account.id)
    changes: list[Change] = [
        access.moved(before, command.org),
        store.SERVICE_ACCOUNTS.delete(account),
        *(store.API_KEYS.delete(key) for key in keys),
        *(trust.TRUST_RULES.delete(rule) for rule in rules),
        *assigned.delete_all(command.org, held),
    ]
    events = [
        *assignments.gone(command.org, held),
        *(event for rule in rules for event in trust_rules.remove(rule, command.org)),
        *domain.delete(account, command.org, keys),
    ]
    await request.commit(changes, events, reply=None)


async def revoke_key(command: RevokeKey, request: Request) -> None:
    before = await access.access(request.scope, command.org)
    key = domain.known_key(await store.key(request.scope, command.key), command.account, command.key)
    changes = [access.moved(before, command.org), store.API_KEYS.delete(key)]
    await request.commit(changes, domain.revoke(key, command.org), reply=None)


async def note_keys_used(command: NoteKeysUsed, request: Request) -> None:
    """Of a key that was revoked meanwhile nothing is kept."""
    changes: list[Change] = []
    accounts: set[str] = set()
    for name, moment in command.used.items():
        key = await store.key(request.scope, name)
        use = await store.use(request.scope, name)
        if key and (use is None or use.at < moment):
            revision = (use.revision if use else 0) + 1
            changes.append(store.KEY_USES.put(KeyUse(key=name, at=moment, revision=revision)))
            accounts.add(key.account)
    events = [KeysUsed(org=command.org, accounts=tuple(sorted(accounts)))] if accounts else []
    await request.commit(changes, events, reply=None)


async def list_service_accounts(query: ListServiceAccounts, scope: Scope) -> Page[ServiceAccount]:
    found = await store.page(scope, query.cursor or "", query.limit + 1)
    items = tuple(found[: query.limit])
    return Page[ServiceAccount](items=items, next=items[-1].slug if len(found) > query.limit else None)


async def list_keys(query: ListKeys, scope: Scope) -> Page[ApiKey]:
    domain.known(await store.account(scope, query.account), query.account)
    keys, following = domain.page(await store.keys(scope, query.account), query.cursor, query.limit)
    shown = []
    for key in keys:
        use = await store.use(scope, key.id)
        shown.append(key.view().model_copy(update={"last_used_at": use.at if use else None}))
    return Page[ApiKey](items=tuple(shown), next=following)


async def held_by(scope: Scope, organization: str, subject: str) -> list[Grant]:
    """What a service account was assigned, as a gateway would send it."""
    held = await assigned.of_subject(scope, organization, subject)
    permissions = await roles.permissions(scope, organization, (one.role for one in held))
    return [
        Grant(one.role, node(organization, one.path), frozenset(permissions[one.role]), one.id)
        for one in held
        if permissions[one.role]
    ]


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"
