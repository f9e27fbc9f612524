"""Rules of assignments: a role, held by a subject on a part of the tree. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from libs.contracts.base import Caller, Event
from libs.contracts.identity import (
    Assignment,
    AssignmentRemoved,
    AssignRole,
    RoleAssigned,
    Subject,
    node,
)
from libs.errors import Conflict, Invalid, NotFound, PermissionMissing
from libs.permissions import OWNER, allows
from services.identity.members.domain import check_grant

MOST_OF_A_SUBJECT = 500


class Kept(Assignment):
    """An assignment as it is kept, with its part of the tree and each that holds it: one equality finds all
    that was assigned on a part or below."""

    within: tuple[str, ...]

    def view(self) -> Assignment:
        return Assignment.model_validate(self.model_dump(exclude={"within"}))


def kept(assignment: Assignment) -> Kept:
    app = assignment.path.split("/")[0]
    within = tuple(dict.fromkeys(("", app, assignment.path)))
    return Kept(**assignment.model_dump(), within=within)


class AssignmentNotFound(NotFound):
    """No such assignment, or none on a part of the tree where the caller may see it."""


class SubjectNotFound(NotFound):
    """The organization has no such member, team or service account."""


class OwnersAreMembers(Invalid):
    """An organization is owned by members, whole: change the member's role instead."""


class TooManyAssignments(Conflict):
    """The subject holds as many roles as one may; use a team, or a node further up."""


def id_of(command: AssignRole) -> str:
    """The same for the same, so that nothing is assigned twice."""
    text = f"{command.subject.type}|{command.subject.id}|{command.role}|{command.path}"
    return f"asg_{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def assign(
    existing: Assignment | None,
    held: Sequence[Assignment],
    command: AssignRole,
    permissions: Iterable[str],
    caller: Caller,
    now: datetime,
) -> tuple[Assignment, list[Event]]:
    """`held` is what the subject was assigned before; `permissions` are those of the role."""
    if command.role == OWNER:
        raise OwnersAreMembers("owners are members of the organization with the role owner")
    check_grant(caller, permissions, command.resource())
    if existing:
        return existing, []
    if len(held) >= MOST_OF_A_SUBJECT:
        raise TooManyAssignments(f"{MOST_OF_A_SUBJECT} at most")
    assignment = Assignment(
        id=id_of(command),
        subject=command.subject,
        role=command.role,
        path=command.path,
        made_by=caller.subject,
        made_at=now,
        revision=1,
    )
    return assignment, [_told(RoleAssigned, command.org, assignment)]


def remove(
    assignment: Assignment | None, organization: str, name: str, caller: Caller
) -> tuple[Assignment, list[Event]]:
    if assignment is None or not allows(
        caller.grants, "assignment:read", node(organization, assignment.path)
    ):
        raise AssignmentNotFound(f"no assignment {name}")
    resource = node(organization, assignment.path)
    if not allows(caller.grants, "assignment:update", resource):
        raise PermissionMissing(f"assignment:update on {resource}")
    return assignment, gone(organization, [assignment])


def gone(organization: str, assignments: Iterable[Assignment]) -> list[Event]:
    """That these hold no more, also when their subject went."""
    return [_told(AssignmentRemoved, organization, assignment) for assignment in assignments]


def known_subject(found: object | None, subject: Subject) -> None:
    if found is None:
        raise SubjectNotFound(f"no {subject.type} {subject.id}")


def _told(
    event: type[RoleAssigned] | type[AssignmentRemoved], organization: str, assignment: Assignment
) -> Event:
    return event(
        org=organization,
        assignment=assignment.id,
        subject=assignment.subject.id,
        role=assignment.role,
        path=assignment.path,
    )
