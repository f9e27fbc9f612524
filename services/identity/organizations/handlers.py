"""The bus edge of organizations: load, decide, save."""

from __future__ import annotations

import secrets

from libs.contracts.base import Page
from libs.contracts.identity import (
    CreateOrganization,
    DeleteOrganization,
    GetOrg,
    ListOrgs,
    Membership,
    Organization,
    UpdateOrganization,
)
from libs.service.request import Request
from libs.store.database import Scope
from libs.store.pages import page_of
from services.identity.invitations import domain as invitations
from services.identity.invitations import store as invited
from services.identity.members import domain as members
from services.identity.members import store as joined
from services.identity.organizations import domain, store
from services.identity.users.handlers import caller_account


async def create_organization(command: CreateOrganization, request: Request) -> Organization:
    account = await caller_account(request)
    existing = await store.by_slug(request.scope, command.slug)
    org, created = domain.create(existing, command, _new_id(), account.id, request.now)
    founder, joining = members.found(org, account, request.now)
    return await store.save_with(request, org, joined.put(org.id, founder), [*created, *joining])


async def update_organization(command: UpdateOrganization, request: Request) -> Organization:
    before = domain.known(await store.organization(request.scope, command.org), command.org)
    everyone = await joined.everyone(request.scope)
    org, events = domain.update(before, command, [member.user for member in everyone])
    return await store.save(request, before, org, events)


async def delete_organization(command: DeleteOrganization, request: Request) -> None:
    """Members and open invitations go in the same commit, so none can slip in beside it."""
    before = await store.organization(request.scope, command.org)
    everyone = await joined.everyone(request.scope)
    org, events = domain.delete(before, command.org, [member.user for member in everyone], request.now)
    withdrawn = [invitations.withdraw(one) for one in await invited.open_ones(request.scope)]
    changes = [change for member in everyone for change in joined.delete(org.id, member)]
    await store.save_deleted(request, org, [*changes, *invited.put_all(org.id, withdrawn)], events)


async def get_org(query: GetOrg, scope: Scope) -> Organization:
    return domain.known(await store.organization(scope, query.org), query.org).view()


async def list_orgs(query: ListOrgs, scope: Scope) -> Page[Membership]:
    """Pages follow the organizations' ids; within a page names are in order, as people look for them."""
    found = await joined.joined_after(scope, query.user, query.cursor or "", query.limit + 1)
    memberships, following = page_of(found, query.limit, "organization")
    orgs = await store.named(scope, [one.organization for one in memberships])
    items = (members.membership(orgs[one.organization], one.role) for one in memberships)
    return Page[Membership](items=tuple(sorted(items, key=lambda item: item.slug)), next=following)


def _new_id() -> str:
    return f"org_{secrets.token_hex(12)}"
