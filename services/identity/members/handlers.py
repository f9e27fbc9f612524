"""The bus edge of members: load, decide, save."""

from __future__ import annotations

from collections.abc import Sequence

from libs.contracts.base import Event, Page
from libs.contracts.identity import ListMembers, Member, RemoveMember, SetMember, TeamMember
from libs.service.request import Request
from libs.store.database import Scope
from services.identity import access
from services.identity.assignments import domain as assignments
from services.identity.assignments import store as assigned
from services.identity.managed import domain as managed_rules
from services.identity.managed import store as managing
from services.identity.members import domain, store
from services.identity.organizations import domain as organizations
from services.identity.organizations import store as orgs
from services.identity.roles import store as roles
from services.identity.teams import domain as team_rules
from services.identity.teams import store as teams


async def set_member(command: SetMember, request: Request) -> Member:
    before = organizations.known(await orgs.organization(request.scope, command.org), command.org)
    tree = await access.access(request.scope, command.org)
    present = domain.known(await store.member(request.scope, command.org, command.user), command.user)
    role = present.role if command.role is None else command.role
    permissions = await roles.permissions_of(request.scope, command.org, role)
    org, member, events = domain.change(before, present, command, permissions, request.caller)
    changes = [access.moved(tree, command.org)] if events else []
    return await store.save(request, (before, present), org, member, changes, events)


async def remove_member(command: RemoveMember, request: Request) -> None:
    before = organizations.known(await orgs.organization(request.scope, command.org), command.org)
    tree = await access.access(request.scope, command.org)
    present = await store.member(request.scope, command.org, command.user)
    org, member, events = domain.remove(before, present, command, request.caller)
    # What was held goes with the member: who comes back later begins with nothing.
    held = await assigned.of_subject(request.scope, command.org, member.user)
    inside = await teams.of_user(request.scope, command.org, member.user)
    left = await _left(request, inside)
    changes = [
        access.moved(tree, command.org),
        *(teams.TEAM_MEMBERS.delete(line) for line in inside),
        *assigned.delete_all(command.org, held),
    ]
    managed = await managing.by_id(request.scope, command.org, member.user)
    if managed:
        changes.append(managing.MANAGED.delete(managed))
        events += managed_rules.gone(command.org, managed)
    await store.save_removed(
        request, before, org, member, changes, [*assignments.gone(command.org, held), *left, *events]
    )


async def _left(request: Request, lines: Sequence[TeamMember]) -> list[Event]:
    events: list[Event] = []
    for line in lines:
        team = team_rules.known(await teams.by_id(request.scope, line.team), line.team)
        events += team_rules.remove(team, line, request.org, line.user)[1]
    return events


async def list_members(query: ListMembers, scope: Scope) -> Page[Member]:
    found = await store.page(scope, query.cursor or "", query.limit + 1)
    items = tuple(found[: query.limit])
    return Page[Member](items=items, next=items[-1].user if len(found) > query.limit else None)
