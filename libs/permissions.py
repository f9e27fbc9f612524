"""Who may do what: a pure function over grants on the tree organization → application → environment.

A resource is a path: `org`, `org/app` or `org/app/environment`. A grant holds on its own resource and
below. Nothing here asks a database or a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

# The one table of permissions, `resource:action`, with what each allows.
PERMISSIONS: dict[str, str] = {
    "org:read": "see the organization",
    "org:update": "rename the organization",
    "org:delete": "delete the organization",
    "owner:update": "demote or remove an owner",
    "member:read": "see who is a member",
    "member:invite": "invite people, and see the invitations",
    "member:update": "change a member's role, suspend a member",
    "member:remove": "remove a member",
    "team:read": "see the teams and who is in them",
    "team:update": "make, rename and delete teams, and change who is in them",
    "role:read": "see what each role allows",
    "role:update": "define, change and delete the organization's own roles",
    "assignment:read": "see who holds which role on what",
    "assignment:update": "give and take away roles on applications and environments",
    "account:read": "see service accounts, their keys and trust rules, but no secret",
    "account:update": "make and delete service accounts, their keys and trust rules",
    "issuer:read": "see the identity providers that the organization trusts",
    "issuer:update": "register, change and remove identity providers",
    "app:read": "see an application",
    "app:create": "create applications",
    "app:update": "rename an application",
    "version:read": "see an application's versions",
    "version:publish": "publish a version",
    "environment:read": "see the environments",
    "environment:update": "create, rename, lock and unlock environments",
    "rollout:read": "see rollouts and what is live",
    "rollout:start": "roll out a version",
    "rollout:rollback": "take a rollout back",
    "audit:read": "search the audit log",
    "platform:read": "see how the installation is",
    "dead:read": "see messages that no service could process",
    "dead:replay": "send such messages again",
    "key:rotate": "change the installation's signing key",
}

_MEMBER = frozenset({"org:read", "member:read", "team:read", "role:read", "environment:read"})
_VIEWER = _MEMBER | {"app:read", "version:read", "rollout:read"}
_DEVELOPER = _VIEWER | {"app:create", "app:update", "version:publish", "rollout:start", "rollout:rollback"}
_ADMIN = _DEVELOPER | {
    "org:update",
    "member:invite",
    "member:update",
    "member:remove",
    "team:update",
    "role:update",
    "assignment:read",
    "assignment:update",
    "account:read",
    "account:update",
    "issuer:read",
    "issuer:update",
    "environment:update",
    "audit:read",
}
_OWNER = _ADMIN | {"org:delete", "owner:update"}

# What organizations may put into roles of their own: everything that concerns them.
ORGANIZATION_PERMISSIONS = _OWNER
OWNER = "owner"
# `member` alone sees no application but those that it, or a team of its holder, was given a role on.
ROLES: dict[str, frozenset[str]] = {
    "member": _MEMBER,
    "viewer": _VIEWER,
    "developer": _DEVELOPER,
    "admin": _ADMIN,
    OWNER: _OWNER,
    # Operates the installation; holds nothing in any organization.
    "operator": frozenset({"platform:read", "dead:read", "dead:replay", "audit:read", "key:rotate"}),
}
OPERATOR = "operator"
# Built-in roles that an organization's members can have.
ORGANIZATION_ROLES = tuple(role for role in ROLES if role != OPERATOR)

# The tenant of what belongs to no organization: users, sessions, the installation itself.
PLATFORM = "_platform"
_NOTHING: frozenset[str] = frozenset()


class Grant(NamedTuple):
    """A role held on a resource and below.

    `permissions` are those of a role that an organization defined, or what is left of any role where a key
    or a token is limited; empty for a built-in role as a whole. `by` names what gave it: an assignment's
    id, or `membership`.
    """

    role: str
    resource: str
    permissions: frozenset[str] = _NOTHING
    by: str = ""

    def allows(self) -> frozenset[str]:
        return self.permissions or ROLES.get(self.role, _NOTHING)


class Limit(NamedTuple):
    """What a key or a token is limited to. None is no limit."""

    permissions: frozenset[str] | None = None
    resource: str | None = None


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
        if holds_on(grant.resource, resource) and permission in grant.allows():
            return Decision(True, grant, None)
    return Decision(False, None, permission)


def allows(grants: Iterable[Grant], permission: str, resource: str) -> bool:
    return decide(grants, permission, resource).allowed


def narrowed(grants: Iterable[Grant], limits: Iterable[Limit]) -> tuple[Grant, ...]:
    """What is left of grants under all of these limits: never more than was held, nor than a limit names."""
    held = tuple(grants)
    for limit in limits:
        held = tuple(left for grant in held if (left := _within(grant, limit)))
    return held


def _within(grant: Grant, limit: Limit) -> Grant | None:
    permissions = grant.allows()
    if limit.permissions is not None:
        permissions &= limit.permissions
    if limit.resource is None or holds_on(limit.resource, grant.resource):
        resource = grant.resource
    elif holds_on(grant.resource, limit.resource):
        resource = limit.resource
    else:
        return None
    return Grant(grant.role, resource, permissions, grant.by) if permissions else None


class Visible(NamedTuple):
    """Which part of an organization a caller may see; the filter of every list.

    `everything` is the whole organization; otherwise only `apps`, and of other applications the environments
    in `places` (`app/environment`). Both are sorted, so equal rights compare equal.
    """

    everything: bool
    apps: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    def shows(self, app: str) -> bool:
        return self.everything or app in self.apps

    def shows_in(self, environment: str, app: str) -> bool:
        return self.shows(app) or f"{app}/{environment}" in self.places

    def apps_in(self, environment: str) -> tuple[str, ...]:
        """The applications that are seen in an environment. Of no meaning where everything is."""
        named = (place.split("/") for place in self.places)
        return tuple(sorted({*self.apps, *(app for app, where in named if where == environment)}))

    def within(self, app: str) -> Visible:
        """What of one application is seen: everything, or some environments."""
        if self.shows(app):
            return EVERYTHING
        return Visible(False, (), tuple(place for place in self.places if place.startswith(f"{app}/")))

    def nodes(self) -> tuple[str, ...]:
        """Paths below the organization; what lies below one of them is seen too."""
        return (*self.apps, *self.places)


EVERYTHING = Visible(True)


def visible_part(grants: Iterable[Grant], permission: str, org: str) -> Visible:
    apps: set[str] = set()
    places: set[str] = set()
    for grant in grants:
        if permission not in grant.allows():
            continue
        if grant.resource == org:
            return EVERYTHING
        root, _, path = grant.resource.partition("/")
        if root == org:
            (places if "/" in path else apps).add(path)
    places = {place for place in places if place.split("/")[0] not in apps}
    return Visible(False, tuple(sorted(apps)), tuple(sorted(places)))


def may_grant(grants: Iterable[Grant], permissions: Iterable[str], resource: str) -> bool:
    """Nobody grants what they don't hold: every one of these permissions, on that resource."""
    held = list(grants)
    return all(allows(held, permission, resource) for permission in permissions)
