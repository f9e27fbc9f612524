"""The bus edge of members: load, decide, save."""

from __future__ import annotations

from libs.contracts.base import Page
from libs.contracts.identity import ListMembers, Member, RemoveMember, SetMember
from libs.service.request import Request
from libs.store.database import Scope
from services.identity.members import domain, store
from services.identity.organizations import domain as organizations
from services.identity.organizations import store as orgs


async def set_member(command: SetMember, request: Request) -> Member:
    before = organizations.known(await orgs.organization(request.scope, command.org), command.org)
    present = domain.known(await store.member(request.scope, command.org, command.user), command.user)
    org, member, events = domain.set_role(before, present, command, request.caller)
    return await store.save(request, (before, present), org, member, events)


async def remove_member(command: RemoveMember, request: Request) -> None:
    before = organizations.known(await orgs.organization(request.scope, command.org), command.org)
    present = await store.member(request.scope, command.org, command.user)
    org, member, events = domain.remove(before, present, command, request.caller)
    await store.save_removed(request, before, org, member, events)


async def list_members(query: ListMembers, scope: Scope) -> Page[Member]:
    found = await store.page(scope, query.cursor or "", query.limit + 1)
    items = tuple(found[: query.limit])
    return Page[Member](items=items, next=items[-1].user if len(found) > query.limit else None)
