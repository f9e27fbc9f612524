"""Who may do what: a pure function over grants on the tree organization → application → environment.

A resource is a path: `org`, `org/app` or `org/app/environment`. A grant holds on its own resource and
below. Nothing here asks a database or a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

# The one table of permissions, `resource:action`.
_VIEWER = frozenset(
    {"org:read", "member:read", "app:read", "version:read", "environment:read", "rollout:read"}
)
_DEVELOPER = _VIEWER | {"app:create", "app:update", "version:publish", "rollout:start", "rollout:rollback"}
_ADMIN = _DEVELOPER | {
    "org:update",
    "member:invite",
    "member:update",
    "member:remove",
    "app:delete",
    "environment:update",
    "audit:read",
}
_OWNER = _ADMIN | {"org:delete", "owner:update"}

ROLES: dict[str, frozenset[str]] = {
    "viewer": _VIEWER,
    "developer": _DEVELOPER,
    "admin": frozenset(_ADMIN),
    "owner": frozenset(_OWNER),
    # Operates the installation; holds nothing in any organization.
    "operator": frozenset({"platform:read", "dead:read", "dead:replay", "audit:read"}),
}
MEMBER_ROLES = ("owner", "admin", "developer", "viewer")

# The tenant of what belongs to no organization: users, sessions, the installation itself.
PLATFORM = "_platform"


class Grant(NamedTuple):
    """One assignment, as decisions need it: a role held on a resource and below."""

    role: str
    resource: str


class Decision(NamedTuple):
    """The answer and its reason: the grant that allowed it, or the permission that was missing."""

    allowed: bool
    grant: Grant | None
    missing: str | None


def holds_on(granted: str, resource: str) -> bool:
    """True if a grant on `granted` reaches `resource`: the same node, or one below it."""
    return resource == granted or resource.startswith(granted + "/")


def decide(grants: Iterable[Grant], permission: str, resource: str) -> Decision:
    for grant in grants:
        if holds_on(grant.resource, resource) and permission in ROLES.get(grant.role, frozenset()):
            return Decision(True, grant, None)
    return Decision(False, None, permission)


def allows(grants: Iterable[Grant], permission: str, resource: str) -> bool:
    return decide(grants, permission, resource).allowed


class Visible(NamedTuple):
    """Which applications of an organization a caller may see; the filter of every list.

    `everything` is the whole organization; otherwise only `apps` (sorted, so equal rights compare equal).
    """

    everything: bool
    apps: tuple[str, ...] = ()

    def shows(self, app: str) -> bool:
        return self.everything or app in self.apps


EVERYTHING = Visible(True)


def visible_apps(grants: Iterable[Grant], permission: str, org: str) -> Visible:
    apps: set[str] = set()
    for grant in grants:
        if permission not in ROLES.get(grant.role, frozenset()):
            continue
        if grant.resource == org:
            return EVERYTHING
        parts = grant.resource.split("/")
        if parts[0] == org and len(parts) == 2:
            apps.add(parts[1])
    return Visible(False, tuple(sorted(apps)))


def may_grant(grants: Iterable[Grant], role: str, resource: str) -> bool:
    """Nobody grants what they don't hold: every permission of the role, on that resource."""
    held = list(grants)
    return role in ROLES and all(allows(held, permission, resource) for permission in ROLES[role])
