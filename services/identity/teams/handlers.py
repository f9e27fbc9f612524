"""The bus edge of teams: load, decide, save."""

from __future__ import annotations

import secrets

from libs.contracts.base import Page
from libs.contracts.identity import (
    AddTeamMember,
    CreateTeam,
    DeleteTeam,
    GetTeam,
    ListTeamMembers,
    ListTeams,
    RemoveTeamMember,
    Team,
    TeamMember,
    UpdateTeam,
)
from libs.service.request import Request
from libs.store.database import Scope
from services.identity import access
from services.identity.assignments import domain as assignments
from services.identity.assignments import store as assigned
from services.identity.members import domain as members
from services.identity.members import store as joined
from services.identity.organizations import domain as organizations
from services.identity.organizations import store as orgs
from services.identity.roles import store as roles
from services.identity.teams import domain, store


async def create_team(command: CreateTeam, request: Request) -> Team:
    organizations.known(await orgs.organization(request.scope, command.org), command.org)
    existing = await store.by_slug(request.scope, command.slug)
    team, events = domain.create(existing, command, _new_id(), request.now)
    return await request.commit([store.TEAMS.put(team)], events, reply=team)


async def update_team(command: UpdateTeam, request: Request) -> Team:
    team, events = domain.update(await store.by_slug(request.scope, command.slug), command)
    return await request.commit([store.TEAMS.put(team)], events, reply=team)


async def delete_team(command: DeleteTeam, request: Request) -> None:
    before = await access.access(request.scope, command.org)
    found = await store.by_slug(request.scope, command.slug)
    team, events = domain.delete(found, command.org, command.slug)
    held = await assigned.of_subject(request.scope, command.org, team.id)
    inside = await store.members(request.scope, team.id)
    changes = [
        access.moved(before, command.org),
        store.TEAMS.delete(team),
        *(store.TEAM_MEMBERS.delete(line) for line in inside),
        *assigned.delete_all(command.org, held),
    ]
    await request.commit(changes, [*assignments.gone(command.org, held), *events], reply=None)


async def add_team_member(command: AddTeamMember, request: Request) -> TeamMember:
    before = await access.access(request.scope, command.org)
    team = domain.known(await store.by_slug(request.scope, command.slug), command.slug)
    member = members.known(await joined.member(request.scope, command.org, command.user), command.user)
    held = await assigned.of_subject(request.scope, command.org, team.id)
    permissions = await roles.permissions(request.scope, command.org, (one.role for one in held))
    existing = await store.member(request.scope, team.id, member.user)
    added, events = domain.add(
        team, existing, member, held, permissions, command.org, request.caller, request.now
    )
    changes = [access.moved(before, command.org), store.TEAM_MEMBERS.put(added)] if events else []
    return await request.commit(changes, events, reply=added)


async def remove_team_member(command: RemoveTeamMember, request: Request) -> None:
    before = await access.access(request.scope, command.org)
    team = domain.known(await store.by_slug(request.scope, command.slug), command.slug)
    present = await store.member(request.scope, team.id, command.user)
    line, events = domain.remove(team, present, command.org, command.user)
    changes = [access.moved(before, command.org), store.TEAM_MEMBERS.delete(line)]
    await request.commit(changes, events, reply=None)


async def get_team(query: GetTeam, scope: Scope) -> Team:
    return domain.known(await store.by_slug(scope, query.slug), query.slug)


async def list_teams(query: ListTeams, scope: Scope) -> Page[Team]:
    found = await store.page(scope, query.cursor or "", query.limit + 1)
    items = tuple(found[: query.limit])
    return Page[Team](items=items, next=items[-1].slug if len(found) > query.limit else None)


async def list_team_members(query: ListTeamMembers, scope: Scope) -> Page[TeamMember]:
    team = domain.known(await store.by_slug(scope, query.slug), query.slug)
    found = await store.members(scope, team.id, query.cursor or "", query.limit + 1)
    items = tuple(found[: query.limit])
    return Page[TeamMember](items=items, next=items[-1].user if len(found) > query.limit else None)


def _new_id() -> str:
    return f"tea_{secrets.token_hex(12)}"
