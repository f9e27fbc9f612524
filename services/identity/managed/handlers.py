"""The bus edge of managed users: load, decide, save."""

from __future__ import annotations

import secrets

from libs.contracts.base import Page
from libs.contracts.identity import (
    AdmitForeignUser,
    CreateManagedUser,
    GetManagedUser,
    Issuer,
    ListManagedUsers,
    ManagedUser,
    SetMember,
    UpdateManagedUser,
)
from libs.service.request import Request
from libs.store.database import Change, Scope
from services.identity import access
from services.identity.issuers import domain as issuers
from services.identity.issuers import store as trusted
from services.identity.managed import domain, store
from services.identity.managed.domain import Managed
from services.identity.members import domain as members
from services.identity.members import store as joined
from services.identity.organizations import domain as organizations
from services.identity.organizations import store as orgs
from services.identity.roles import store as roles


async def create_managed_user(command: CreateManagedUser, request: Request) -> ManagedUser:
    tree = await access.access(request.scope, command.org)
    before = organizations.known(await orgs.organization(request.scope, command.org), command.org)
    taken = await _taken(request.scope, domain.handle_of(command.user_name))
    permissions = await roles.permissions_of(request.scope, command.org, command.role)
    org, managed, member, events = domain.create(
        before, taken, command, _new_id(), permissions, request.caller, request.now
    )
    changes = [
        access.moved(tree, command.org),
        orgs.put(org),
        *joined.put(org.id, member),
        store.put(org.id, managed),
    ]
    return await request.commit(changes, events, reply=managed.view())


async def update_managed_user(command: UpdateManagedUser, request: Request) -> ManagedUser:
    """The user and the membership in one commit."""
    tree = await access.access(request.scope, command.org)
    before = organizations.known(await orgs.organization(request.scope, command.org), command.org)
    found = await store.by_id(request.scope, command.org, command.user)
    taken = None
    if command.user_name is not None:
        taken = await _taken(request.scope, domain.handle_of(command.user_name))
    managed, events = domain.update(found, taken, command, request.now)
    present = members.known(await joined.member(request.scope, command.org, command.user), command.user)
    permissions = await roles.permissions_of(request.scope, command.org, present.role)
    change = SetMember(org=command.org, user=command.user, active=command.active)
    org, member, moved = members.change(before, present, change, permissions, request.caller)
    if member is present:
        member = domain.as_member(member, managed)
    else:
        member = member.model_copy(update={"email": managed.email, "name": managed.name})
    changes: list[Change] = [*joined.put_changed(before, org)]
    if member.revision > present.revision:
        changes += joined.put(org.id, member)
    if events:
        changes.append(store.put(org.id, managed))
    if changes:
        changes.append(access.moved(tree, command.org))
    return await request.commit(changes, [*events, *moved], reply=managed.view())


async def admit_foreign_user(command: AdmitForeignUser, request: Request) -> ManagedUser:
    tree = await access.access(request.scope, command.org)
    before = organizations.known(await orgs.organization(request.scope, command.org), command.org)
    issuer = issuers.known(await trusted.issuer(request.scope, command.issuer), command.issuer)
    link = domain.link_of(issuer.id, command.subject)
    existing = await store.by_link(request.scope, link)
    if existing:
        return existing.view()
    known = await _recognised(request.scope, issuer, command)
    if known:
        managed, events = domain.link(known, command.org, link, request.now)
        changes = [access.moved(tree, command.org), store.put(command.org, managed)]
        return await request.commit(changes, events, reply=managed.view())
    org, managed, member, events = domain.admit(before, issuer, command, request.now)
    changes = [
        access.moved(tree, command.org),
        orgs.put(org),
        *joined.put(org.id, member),
        store.put(org.id, managed),
    ]
    return await request.commit(changes, events, reply=managed.view())


async def get_managed_user(query: GetManagedUser, scope: Scope) -> ManagedUser:
    return domain.known(await store.by_id(scope, query.org, query.user), query.user).view()


async def list_managed_users(query: ListManagedUsers, scope: Scope) -> Page[ManagedUser]:
    if query.user_name is not None:
        one = await store.by_handle(scope, domain.handle_of(query.user_name))
        return Page[ManagedUser](items=(one.view(),) if one else ())
    if query.external_id is not None:
        found = await store.by_external_id(scope, query.external_id)
        return Page[ManagedUser](items=tuple(one.view() for one in found))
    found = await store.page(scope, query.cursor or "", query.limit + 1)
    items = tuple(one.view() for one in found[: query.limit])
    return Page[ManagedUser](items=items, next=items[-1].id if len(found) > query.limit else None)


async def _taken(scope: Scope, handle: str) -> object | None:
    return await store.by_handle(scope, handle) or await joined.by_email(scope, handle)


async def _recognised(scope: Scope, issuer: Issuer, command: AdmitForeignUser) -> Managed | None:
    candidates = await store.by_external_id(scope, command.subject)
    if command.email:
        address = domain.handle_of(command.email)
        by_name = await store.by_handle(scope, address)
        candidates += [*await store.by_email(scope, address), *([by_name] if by_name else [])]
    found = {one.id: one for one in candidates if domain.recognised(one, issuer, command)}
    # Two who would fit: nobody can say which of them it is.
    return next(iter(found.values())) if len(found) == 1 else None


def _new_id() -> str:
    return f"usr_{secrets.token_hex(12)}"
