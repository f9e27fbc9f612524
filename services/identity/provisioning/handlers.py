"""The bus edge of provisioning: people and groups of an organization, whole."""

from __future__ import annotations

import secrets
from collections import defaultdict

from libs.contracts.identity import (
    Group,
    Groups,
    ListGroups,
    ListPeople,
    Member,
    People,
    ProvisionTeam,
    Team,
)
from libs.service.request import Request
from libs.store.database import Change, Scope
from services.identity import access
from services.identity.assignments import store as assigned
from services.identity.managed import domain as managed_rules
from services.identity.managed import store as managed
from services.identity.members import store as joined
from services.identity.organizations import domain as organizations
from services.identity.organizations import store as orgs
from services.identity.provisioning import domain
from services.identity.roles import store as roles
from services.identity.teams import domain as team_rules
from services.identity.teams import store as teams


async def provision_team(command: ProvisionTeam, request: Request) -> Group:
    tree = await access.access(request.scope, command.org)
    organizations.known(await orgs.organization(request.scope, command.org), command.org)
    everybody = {member.user: member for member in await joined.everyone(request.scope)}
    found = None
    if command.team is not None:
        found = team_rules.known(await teams.by_id(request.scope, command.team), command.team)
    slugs = [] if found else [one.slug for one in await teams.everything(request.scope)]
    fallback = secrets.token_hex(4)
    slug = domain.slug_of(command.name or "", slugs, fallback)
    team, events = domain.team(found, command, f"tea_{secrets.token_hex(12)}", slug, request.now)
    present = {line.user: line for line in await teams.members(request.scope, team.id)} if found else {}
    wanted = set(present) if command.members is None else set(command.members)
    domain.all_known(wanted - set(present), everybody)
    held = await assigned.of_subject(request.scope, command.org, team.id)
    permissions = await roles.permissions(request.scope, command.org, (one.role for one in held))
    changes: list[Change] = [] if team is found else [teams.TEAMS.put(team)]
    for user in sorted(wanted - set(present)):
        line, told = team_rules.add(
            team, None, everybody[user], held, permissions, command.org, request.caller, request.now
        )
        changes.append(teams.TEAM_MEMBERS.put(line))
        events += told
    for user in sorted(set(present) - wanted):
        line, told = team_rules.remove(team, present[user], command.org, user)
        changes.append(teams.TEAM_MEMBERS.delete(line))
        events += told
    if changes:
        changes.append(access.moved(tree, command.org))
    names = {user: everybody[user].name for user in sorted(wanted) if user in everybody}
    return await request.commit(changes, events, reply=Group(team=team, members=names))


async def list_people(query: ListPeople, scope: Scope) -> People:
    found = await _members(query, scope)
    shown = found[query.start : query.start + query.limit]
    inside = await _teams_of(scope, shown)
    names = {team.id: team.name for team in await teams.everything(scope)} if inside else {}
    items = []
    for member in shown:
        held = {team: names[team] for team in inside.get(member.user, ()) if team in names}
        items.append(domain.person(member, await managed.by_id(scope, query.org, member.user), held))
    return People(items=tuple(items), total=len(found))


async def list_groups(query: ListGroups, scope: Scope) -> Groups:
    if query.team is not None:
        one = await teams.by_id(scope, query.team)
        found: list[Team] = [one] if one else []
    else:
        found = await teams.everything(scope)
    if query.name is not None:
        found = [team for team in found if team.name.casefold() == query.name.casefold()]
    items = []
    for team in found[query.start : query.start + query.limit]:
        lines = await teams.members(scope, team.id) if query.with_members else []
        items.append(Group(team=team, members={line.user: line.name for line in lines}))
    return Groups(items=tuple(items), total=len(found))


async def _members(query: ListPeople, scope: Scope) -> list[Member]:
    if query.user is not None:
        return _present(await joined.member(scope, query.org, query.user))
    if query.user_name is not None:
        handle = managed_rules.handle_of(query.user_name)
        one = await managed.by_handle(scope, handle)
        if one:
            return _present(await joined.member(scope, query.org, one.id))
        other = await joined.by_email(scope, handle)
        # A managed user has a name of its own, and is not found by its address.
        is_managed = other and await managed.by_id(scope, query.org, other.user)
        return [] if is_managed else _present(other)
    if query.external_id is not None:
        known = await managed.by_external_id(scope, query.external_id)
        return [found for one in known for found in _present(await joined.member(scope, query.org, one.id))]
    return await joined.everyone(scope)


async def _teams_of(scope: Scope, shown: list[Member]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    if len(shown) == 1:
        lines = await teams.of_user(scope, scope.org, shown[0].user)
    else:
        lines = await teams.everybody(scope) if shown else []
    for line in lines:
        found[line.user].append(line.team)
    return found


def _present(member: Member | None) -> list[Member]:
    return [member] if member else []
