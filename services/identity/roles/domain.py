"""Rules of roles. No I/O.

Built-in roles are in `libs.permissions`; an organization may define others of the same permissions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from libs.contracts.base import Caller, Event
from libs.contracts.identity import (
    DefineRole,
    DeleteRole,
    RoleDefined,
    RoleDefinition,
    RoleDeleted,
    UpdateRole,
)
from libs.errors import Conflict, Invalid, NotFound, StaleRevision
from libs.permissions import OPERATOR, ORGANIZATION_PERMISSIONS, ORGANIZATION_ROLES, ROLES
from services.identity.members.domain import check_grant

MOST_ROLES = 200


class RoleExists(Conflict):
    """There is a role of that name."""


class RoleNotFound(NotFound):
    """No such role."""


class RoleInUse(Conflict):
    """Somebody holds the role; take it away first."""


class RoleIsBuiltIn(Conflict):
    """Built-in roles are the same everywhere, and cannot be changed."""


class PermissionUnknown(Invalid):
    """A role is made of permissions that an organization can give; see the list of roles."""


class TooManyRoles(Conflict):
    """The organization has as many roles of its own as it may."""


BUILT_IN = tuple(
    RoleDefinition(
        role=role, name=role.capitalize(), permissions=tuple(sorted(ROLES[role])), built_in=True, revision=1
    )
    for role in ORGANIZATION_ROLES
)


def permissions_of(role: str, own: RoleDefinition | None) -> tuple[str, ...]:
    """What a role allows; `own` is what the organization defined under that name, if it did."""
    if role in ORGANIZATION_ROLES:
        return tuple(sorted(ROLES[role]))
    if own is None:
        raise RoleNotFound(f"no role {role}")
    return own.permissions


def define(
    existing: RoleDefinition | None, defined: int, command: DefineRole, caller: Caller
) -> tuple[RoleDefinition, list[Event]]:
    if existing or command.role in (*ORGANIZATION_ROLES, OPERATOR):
        raise RoleExists(f"there is a role {command.role}")
    if defined >= MOST_ROLES:
        raise TooManyRoles(f"{MOST_ROLES} at most")
    permissions = _checked(command.permissions, caller, command.org)
    role = RoleDefinition(role=command.role, name=command.name, permissions=permissions, revision=1)
    return role, [_defined(command.org, role)]


def update(
    role: RoleDefinition | None, command: UpdateRole, caller: Caller
) -> tuple[RoleDefinition, list[Event]]:
    role = own(role, command.role)
    if command.if_revision is not None and command.if_revision != role.revision:
        raise StaleRevision(f"the newest revision is {role.revision}")
    changes: dict[str, object] = {"revision": role.revision + 1}
    if command.permissions is not None:
        # All of it, also what the role allowed before: whoever changes a role answers for it.
        changes["permissions"] = _checked(command.permissions, caller, command.org)
    if command.name is not None:
        changes["name"] = command.name
    changed = role.model_copy(update=changes)
    return changed, [_defined(command.org, changed)]


def delete(
    role: RoleDefinition | None, holders: Sequence[object], command: DeleteRole
) -> tuple[RoleDefinition, list[Event]]:
    role = own(role, command.role)
    if holders:
        raise RoleInUse(f"{role.role} is held by somebody")
    return role, [RoleDeleted(org=command.org, role=role.role)]


def own(role: RoleDefinition | None, name: str) -> RoleDefinition:
    if name in ORGANIZATION_ROLES:
        raise RoleIsBuiltIn(f"{name} is built in")
    if role is None:
        raise RoleNotFound(f"no role {name}")
    return role


def _checked(permissions: Iterable[str], caller: Caller, org: str) -> tuple[str, ...]:
    wanted = sorted(set(permissions))
    unknown = [permission for permission in wanted if permission not in ORGANIZATION_PERMISSIONS]
    if unknown:
        raise PermissionUnknown(", ".join(unknown))
    check_grant(caller, wanted, org)
    return tuple(wanted)


def _defined(org: str, role: RoleDefinition) -> Event:
    return RoleDefined(org=org, role=role.role, permissions=role.permissions)
