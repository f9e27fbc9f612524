"""Every query on assignments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from libs.contracts.identity import Assignment
from libs.permissions import Visible
from libs.store.database import Change, Documents, Index, Scope
from services.identity.assignments import domain
from services.identity.assignments.domain import Kept

ASSIGNMENTS = Documents(
    "assignments",
    Kept,
    key=lambda assignment: assignment.id,
    indexes=[
        Index(("id",)),  # pages of an organization
        Index(("within", "id")),  # pages of the part that somebody may see
        Index(("subject.id",)),  # what a subject holds
        Index(("role",)),  # is a role held?
    ],
)


async def assignment(scope: Scope, name: str) -> Assignment | None:
    found = await scope.get(ASSIGNMENTS, name)
    return found.view() if found else None


async def of_subject(scope: Scope, organization: str, subject: str) -> list[Assignment]:
    found = await scope.of(organization).find(ASSIGNMENTS, {"subject.id": subject})
    return [one.view() for one in found]


async def of_role(scope: Scope, role: str) -> list[Kept]:
    return await scope.find(ASSIGNMENTS, {"role": role}, limit=1)


async def page(scope: Scope, visible: Visible, after: str, limit: int) -> list[Assignment]:
    where: dict[str, Any] = {"id": {"$gt": after}}
    if not visible.everything:
        where["within"] = {"$in": list(visible.nodes())}
    return [one.view() for one in await scope.find(ASSIGNMENTS, where, sort="id", limit=limit)]


async def of_organizations(scope: Scope, after: str, last: str) -> list[tuple[str, Assignment]]:
    return [(org, one.view()) for org, one in await scope.between(ASSIGNMENTS, after, last)]


def put(assignment: Assignment) -> Change:
    return ASSIGNMENTS.put(domain.kept(assignment))


def delete_all(organization: str, assignments: Iterable[Assignment]) -> list[Change]:
    return [ASSIGNMENTS.delete(domain.kept(one), org=organization) for one in assignments]
