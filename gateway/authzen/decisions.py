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
from libs.permissions import ORGANIZATION_PERMISSIONS, Grant, decide

# The portal's own types of resources, with how many slugs an id of theirs has below the organization's.
DEPTHS = {"organization": 0, "application": 1, "environment": 2}
_PREFIX = {"user": "usr_", "team": "tea_", "service_account": "sva_"}
SUBJECT_TYPES = tuple(_PREFIX)
_NO_WORDS = Vocabulary()
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


def in_our_words(subject: Entity) -> bool:
    """An id of the portal's own, which no vocabulary gives another meaning."""
    return subject.id.startswith(_PREFIX.get(subject.type, "?"))


@dataclass(frozen=True)
class Organization:
    """What decisions in one organization are made from."""

    slug: str
    access: OrganizationAccess
    # None while no question needed them: the organization's words, and its members by their addresses.
    vocabulary: Vocabulary | None = None
    emails: Mapping[str, str] | None = None
    # What the caller may do is what their token leaves of it: by subject, the caller's own alone.
    with_token: Mapping[str, tuple[Grant, ...]] = field(default_factory=dict)

    @property
    def words(self) -> Vocabulary:
        return self.vocabulary or _NO_WORDS

    def subject(self, asked: Entity) -> str | None:
        """The id of a user, a team or a service account: by it, by an e-mail address, or by the
        vocabulary's name for it."""
        if in_our_words(asked):
            return asked.id
        known = self.words.subjects.get(asked.id)
        name = known.id if known else (self.emails or {}).get(asked.id.lower(), "")
        return name if name.startswith(_PREFIX.get(asked.type, "?")) else None

    def name(self, subject: str) -> str:
        """What the vocabulary calls a subject, or its id."""
        return next((name for name, known in self.words.subjects.items() if known.id == subject), subject)

    def resource(self, asked: Entity) -> str | None:
        """The part of the tree that is meant, or None if there is no such type or id."""
        if asked.type in DEPTHS:
            parts = asked.id.split("/")
            if parts[0] != self.slug or len(parts) - 1 != DEPTHS[asked.type] or not all(parts):
                return None
            return node(self.access.id, "/".join(parts[1:]))
        kind = self.words.resources.get(asked.type)
        if kind is None or not _PATH.fullmatch(asked.id) or asked.id.count("/") != DEPTHS[kind] - 1:
            return None
        return node(self.access.id, asked.id)

    def permission(self, subject: Entity, action: Action, resource: Entity) -> str | None:
        """What the subject has to hold, or None if nothing would do."""
        if resource.type in DEPTHS:
            return action.name if action.name in ORGANIZATION_PERMISSIONS else None
        properties = self._properties(subject, action, resource)
        for meaning in self.words.meanings:
            if (meaning.resource, meaning.action) == (resource.type, action.name) and all(
                _same(properties.get(name), value) for name, value in meaning.when.items()
            ):
                return meaning.permission
        return None

    def actions(self, resource: str) -> Iterable[str]:
        """All that can be done to a type of resource."""
        if resource in DEPTHS:
            return sorted(ORGANIZATION_PERMISSIONS)
        return dict.fromkeys(one.action for one in self.words.meanings if one.resource == resource)

    def subjects(self, kind: str) -> list[str]:
        """Everybody of a type who may hold something here, in order."""
        found: dict[str, Iterable[str]] = {
            "user": self.access.members,
            "team": self.access.teams,
            "service_account": self.access.accounts,
        }
        return sorted(found.get(kind, ()))

    def grants(self, subject: str) -> tuple[Grant, ...]:
        if subject in self.with_token:
            return self.with_token[subject]
        if subject not in self.access.teams:
            return self.access.grants(subject)
        assigned = sorted(self.access.assignments.items())
        given = (self.access.grant(one.role, one.path, by) for by, one in assigned if one.subject == subject)
        return tuple(grant for grant in given if grant.allows())

    def decide(self, subject: Entity, action: Action, resource: Entity) -> Decided:
        who, where = self.subject(subject), self.resource(resource)
        if who is None:
            return Decided(False, reason=f"no subject {subject.type} {subject.id}")
        if where is None:
            return Decided(False, reason=f"no resource {resource.type} {resource.id}")
        permission = self.permission(subject, action, resource)
        if permission is None:
            return Decided(False, reason=f"{action.name} is not allowed to anybody here")
        decision = decide(self.grants(who), permission, where)
        return Decided(decision.allowed, decision.grant, permission)

    def _properties(self, subject: Entity, action: Action, resource: Entity) -> dict[str, Any]:
        """What the question brings goes before what the vocabulary knows."""
        known = self.words.subjects.get(subject.id)
        kept = self.words.properties.get(resource.type, {}).get(resource.id, {})
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
