"""The bus edge of roles: load, decide, save."""

from __future__ import annotations

from libs.contracts.identity import DefineRole, DeleteRole, ListRoles, RoleDefinition, Roles, UpdateRole
from libs.permissions import ORGANIZATION_PERMISSIONS, PERMISSIONS
from libs.service.request import Request
from libs.store.database import Scope
from services.identity import access
from services.identity.assignments import store as assignments
from services.identity.invitations import store as invitations
from services.identity.issuers import store as issuers
from services.identity.issuers.domain import named_roles
from services.identity.members import store as members
from services.identity.organizations import domain as organizations
from services.identity.organizations import store as orgs
from services.identity.roles import domain, store


async def define_role(command: DefineRole, request: Request) -> RoleDefinition:
    before = await access.access(request.scope, command.org)
    organizations.known(await orgs.organization(request.scope, command.org), command.org)
    existing = await store.role(request.scope, command.org, command.role)
    defined = len(await store.defined(request.scope))
    role, events = domain.define(existing, defined, command, request.caller)
    changes = [access.moved(before, command.org), store.ROLE_DEFINITIONS.put(role)]
    return await request.commit(changes, events, reply=role)


async def update_role(command: UpdateRole, request: Request) -> RoleDefinition:
    before = await access.access(request.scope, command.org)
    found = await store.role(request.scope, command.org, command.role)
    role, events = domain.update(found, command, request.caller)
    changes = [access.moved(before, command.org), store.ROLE_DEFINITIONS.put(role)]
    return await request.commit(changes, events, reply=role)


async def delete_role(command: DeleteRole, request: Request) -> None:
    before = await access.access(request.scope, command.org)
    found = await store.role(request.scope, command.org, command.role)
    holders = [
        *await assignments.of_role(request.scope, command.role),
        *await members.with_role(request.scope, command.role),
        *(one for one in await issuers.issuers(request.scope) if command.role in named_roles(one.settings)),
        *(one for one in await invitations.open_ones(request.scope) if one.role == command.role),
    ]
    role, events = domain.delete(found, holders, command)
    changes = [access.moved(before, command.org), store.ROLE_DEFINITIONS.delete(role)]
    await request.commit(changes, events, reply=None)


async def list_roles(query: ListRoles, scope: Scope) -> Roles:
    return Roles(
        items=(*domain.BUILT_IN, *await store.defined(scope)),
        permissions={name: PERMISSIONS[name] for name in sorted(ORGANIZATION_PERMISSIONS)},
    )
