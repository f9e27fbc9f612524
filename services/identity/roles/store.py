"""Every query on the roles that organizations defined."""

from __future__ import annotations

from collections.abc import Iterable

from libs.contracts.identity import RoleDefinition
from libs.permissions import ORGANIZATION_ROLES
from libs.store.database import Documents, Index, Scope
from services.identity.roles import domain

ROLE_DEFINITIONS = Documents(
    "roles",
    RoleDefinition,
    key=lambda role: role.role,
    indexes=[
        Index(("role",)),  # all of an organization; there are few
    ],
)


async def role(scope: Scope, organization: str, name: str) -> RoleDefinition | None:
    return await scope.of(organization).get(ROLE_DEFINITIONS, name)


async def defined(scope: Scope) -> list[RoleDefinition]:
    return await scope.find(ROLE_DEFINITIONS, {}, sort="role")


async def permissions_of(scope: Scope, organization: str, name: str) -> tuple[str, ...]:
    """Raises RoleNotFound."""
    found = None if name in ORGANIZATION_ROLES else await role(scope, organization, name)
    return domain.permissions_of(name, found)


async def permissions(scope: Scope, organization: str, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Of several roles; one that is gone allows nothing."""
    found: dict[str, tuple[str, ...]] = {}
    for name in set(names):
        try:
            found[name] = await permissions_of(scope, organization, name)
        except domain.RoleNotFound:
            found[name] = ()
    return found
