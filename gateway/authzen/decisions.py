"""Decisions as AuthZEN wants them: the portal's one function, asked in its words or an organization's own.

No network: what a subject holds is in the directory, and a vocabulary is at hand before this is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.access import OrganizationAccess
from gateway.authzen.questions import Action, Entity
from libs.contracts.identity import Vocabulary, node
from libs.permissions import ORGANIZATION_PERMISSIONS, Grant, decide, holds_on

# The portal's own types of resources, with how many slugs an id of theirs has below the organization's.
DEPTHS = {"organization": 0, "application": 1, "environment": 2}
SUBJECT_TYPES = ("user", "service_account")
_PREFIX = {"user": "usr_", "service_account": "sva_"}
_PATH = re.compile(r"[a-z0-9-]{1,40}(/[a-z0-9-]{1,40})?")


class Decided(NamedTuple):
    """`grant` is what allowed it; `reason` is why not, or how it was understood."""

    allowed: bool
    grant: Grant | None = None
    reason: str = ""

    def answer(self, organization: Organization | None) -> dict[str, Any]:
        """A decision on the wire, with its reason."""
        if self.grant and organization:
            reason = {
                "assignment": self.grant.by,
                "role": self.grant.role,
                "resource": self.grant.resource.replace(organization.access.id, organization.slug, 1),
            }
            return {"decision": True, "context": {"reason_admin": reason}}
        return {"decision": self.allowed, "context": {"reason_admin": {"missing": self.reason}}}


@dataclass(frozen=True)
class Organization:
    """What decisions in one organization are made from."""

    slug: str
    access: OrganizationAccess
    vocabulary: Vocabulary = field(default_factory=Vocabulary)

    def subject(self, asked: Entity) -> str | None:
        """The id of a user or a service account, by it or by the vocabulary's name for it."""
        known = self.vocabulary.subjects.get(asked.id)
        name = known.id if known else asked.id
        return name if name.startswith(_PREFIX.get(asked.type, "?")) else None

    def name(self, subject: str) -> str:
        """What the vocabulary calls a subject, or its id."""
        return next(
            (name for name, known in self.vocabulary.subjects.items() if known.id == subject), subject
        )

    def resource(self, asked: Entity) -> str | None:
        """The part of the tree that is meant, or None if there is no such type or id."""
        if asked.type in DEPTHS:
            parts = asked.id.split("/")
            if parts[0] != self.slug or len(parts) - 1 != DEPTHS[asked.type] or not all(parts):
                return None
            return node(self.access.id, "/".join(parts[1:]))
        kind = self.vocabulary.resources.get(asked.type)
        if kind is None or not _PATH.fullmatch(asked.id) or asked.id.count("/") != DEPTHS[kind] - 1:
            return None
        return node(self.access.id, asked.id)

    def permission(self, subject: Entity, action: Action, resource: Entity) -> str | None:
        """What the subject has to hold, or None if nothing would do."""
        if resource.type in DEPTHS:
            return action.name if action.name in ORGANIZATION_PERMISSIONS else None
        properties = self._properties(subject, action, resource)
        for meaning in self.vocabulary.meanings:
            if (meaning.resource, meaning.action) == (resource.type, action.name) and all(
                _same(properties.get(name), value) for name, value in meaning.when.items()
            ):
                return meaning.permission
        return None

    def actions(self, resource: str) -> Iterable[str]:
        """All that can be done to a type of resource."""
        if resource in DEPTHS:
            return sorted(ORGANIZATION_PERMISSIONS)
        return dict.fromkeys(one.action for one in self.vocabulary.meanings if one.resource == resource)

    def subjects(self, kind: str) -> list[str]:
        """Everybody of a type who may hold something here, in order."""
        found = {"user": self.access.members, "service_account": self.access.accounts}.get(kind, {})
        return sorted(found)

    def decide(self, subject: Entity, action: Action, resource: Entity) -> Decided:
        who, where = self.subject(subject), self.resource(resource)
        if who is None:
            return Decided(False, reason=f"no subject {subject.type} {subject.id}")
        if where is None:
            return Decided(False, reason=f"no resource {resource.type} {resource.id}")
        permission = self.permission(subject, action, resource)
        if permission is None:
            return Decided(False, reason=f"{action.name} is not allowed to anybody here")
        decision = decide(self.access.grants(who), permission, where)
        return Decided(decision.allowed, decision.grant, permission)

    def lies_in(self, resource: str) -> bool:
        return holds_on(self.access.id, resource)

    def _properties(self, subject: Entity, action: Action, resource: Entity) -> dict[str, Any]:
        """What the question brings goes before what the vocabulary knows."""
        known = self.vocabulary.subjects.get(subject.id)
        kept = self.vocabulary.properties.get(resource.type, {}).get(resource.id, {})
        return {
            **_named("subject", {**(known.properties if known else {}), **subject.properties}),
            **_named("action", action.properties),
            **_named("resource", {**kept, **resource.properties}),
        }


def _named(where: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{where}.{name}": value for name, value in properties.items()}


def _same(given: object, wanted: object) -> bool:
    """`True` is not 1 here, and 1 is not `"1"`."""
    return type(given) is type(wanted) and given == wanted
