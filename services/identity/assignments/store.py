"""Every query on assignments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from libs.contracts.identity import Assignment
from libs.permissions import Visible
from libs.store.database import Change, Documents, Index, Scope

ASSIGNMENTS = Documents(
    "assignments",
    Assignment,
    key=lambda assignment: assignment.id,
    indexes=[
        Index(("id",)),  # pages of an organization
        Index(("path", "id")),  # pages of the part that somebody may see
        Index(("subject.id",)),  # what a subject holds
        Index(("role",)),  # is a role held?
    ],
)


async def assignment(scope: Scope, name: str) -> Assignment | None:
    return await scope.get(ASSIGNMENTS, name)


async def of_subject(scope: Scope, organization: str, subject: str) -> list[Assignment]:
    return await scope.of(organization).find(ASSIGNMENTS, {"subject.id": subject})


async def of_role(scope: Scope, role: str) -> list[Assignment]:
    return await scope.find(ASSIGNMENTS, {"role": role}, limit=1)


async def page(scope: Scope, visible: Visible, after: str, limit: int) -> list[Assignment]:
    if visible.everything:
        return await scope.find(ASSIGNMENTS, {"id": {"$gt": after}}, sort="id", limit=limit)
    # What lies below an application begins with it; `0` is the character after `/`.
    below: list[dict[str, Any]] = [{"path": {"$gte": f"{app}/", "$lt": f"{app}0"}} for app in visible.apps]
    found = [
        one
        for part in ({"path": {"$in": list(visible.nodes())}}, *below)
        for one in await scope.find(ASSIGNMENTS, {**part, "id": {"$gt": after}}, sort="id", limit=limit)
    ]
    return sorted(found, key=lambda one: one.id)[:limit]


def delete_all(organization: str, assignments: Iterable[Assignment]) -> list[Change]:
    return [ASSIGNMENTS.delete(one, org=organization) for one in assignments]
