"""The bus edge of foreign issuers: load, decide, save."""

from __future__ import annotations

import secrets

from libs.contracts.base import Page
from libs.contracts.identity import GetIssuer, Issuer, ListIssuers, RegisterIssuer, RemoveIssuer, UpdateIssuer
from libs.service.request import Request
from libs.store.database import Scope
from services.identity import access
from services.identity.issuers import domain, store
from services.identity.organizations import domain as organizations
from services.identity.organizations import store as orgs
from services.identity.roles import store as roles


class Issuers:
    """`insecure` allows http, for development and tests."""

    def __init__(self, insecure: bool) -> None:
        self._insecure = insecure

    async def register_issuer(self, command: RegisterIssuer, request: Request) -> Issuer:
        tree = await access.access(request.scope, command.org)
        organizations.known(await orgs.organization(request.scope, command.org), command.org)
        existing = await store.issuers(request.scope)
        permissions = {
            role: await roles.permissions_of(request.scope, command.org, role)
            for role in domain.named_roles(command.settings)
        }
        issuer, events = domain.register(
            existing, command, _new_id(), permissions, request.caller, self._insecure
        )
        changes = [access.moved(tree, command.org), store.ISSUERS.put(issuer)]
        return await request.commit(changes, events, reply=issuer)

    async def update_issuer(self, command: UpdateIssuer, request: Request) -> Issuer:
        tree = await access.access(request.scope, command.org)
        existing = await store.issuers(request.scope)
        before = next((one for one in existing if one.id == command.issuer), None)
        settings = command.settings or (before.settings if before else None)
        permissions = {
            role: await roles.permissions_of(request.scope, command.org, role)
            for role in domain.named_roles(settings)
        }
        issuer, events = domain.update(before, existing, command, permissions, request.caller, self._insecure)
        changes = [access.moved(tree, command.org), store.ISSUERS.put(issuer)]
        return await request.commit(changes, events, reply=issuer)


async def remove_issuer(command: RemoveIssuer, request: Request) -> None:
    tree = await access.access(request.scope, command.org)
    found = await store.issuer(request.scope, command.issuer)
    issuer, events = domain.remove(found, command.org, command.issuer)
    changes = [access.moved(tree, command.org), store.ISSUERS.delete(issuer)]
    await request.commit(changes, events, reply=None)


async def get_issuer(query: GetIssuer, scope: Scope) -> Issuer:
    return domain.known(await store.issuer(scope, query.issuer), query.issuer)


async def list_issuers(query: ListIssuers, scope: Scope) -> Page[Issuer]:
    return Page[Issuer](items=tuple(await store.issuers(scope)))


def _new_id() -> str:
    return f"iss_{secrets.token_hex(12)}"
