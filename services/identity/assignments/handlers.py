"""The bus edge of assignments: load, decide, save."""

from __future__ import annotations

from libs.contracts.base import Page
from libs.contracts.identity import Assignment, AssignRole, ListAssignments, RemoveAssignment, Subject
from libs.service.request import Request
from libs.store.database import Scope
from services.identity import access
from services.identity.accounts import store as accounts
from services.identity.assignments import domain, store
from services.identity.members import store as members
from services.identity.organizations import domain as organizations
from services.identity.organizations import store as orgs
from services.identity.roles import store as roles
from services.identity.teams import store as teams


async def assign_role(command: AssignRole, request: Request) -> Assignment:
    before = await access.access(request.scope, command.org)
    organizations.known(await orgs.organization(request.scope, command.org), command.org)
    domain.known_subject(await _subject(request.scope, command.subject), command.subject)
    existing = await store.assignment(request.scope, domain.id_of(command))
    held = await store.of_subject(request.scope, command.org, command.subject.id)
    permissions = await roles.permissions_of(request.scope, command.org, command.role)
    assignment, events = domain.assign(existing, held, command, permissions, request.caller, request.now)
    changes = [access.moved(before, command.org), store.put(assignment)] if events else []
    return await request.commit(changes, events, reply=assignment)


async def remove_assignment(command: RemoveAssignment, request: Request) -> None:
    before = await access.access(request.scope, command.org)
    found = await store.assignment(request.scope, command.assignment)
    assignment, events = domain.remove(found, command.org, command.assignment, request.caller)
    changes = [access.moved(before, command.org), *store.delete_all(command.org, [assignment])]
    await request.commit(changes, events, reply=None)


async def list_assignments(query: ListAssignments, scope: Scope) -> Page[Assignment]:
    found = await store.page(scope, query.visible, query.cursor or "", query.limit + 1)
    items = tuple(found[: query.limit])
    return Page[Assignment](items=items, next=items[-1].id if len(found) > query.limit else None)


async def _subject(scope: Scope, subject: Subject) -> object | None:
    match subject.type:
        case "user":
            return await members.member(scope, scope.org, subject.id)
        case "team":
            return await teams.by_id(scope, subject.id)
        case "service_account":
            return await accounts.account(scope, subject.id)
