"""What puts all changes of who may do what in an organization in a row: one document that each of them moves.

Rules span documents: a role that is held is not deleted, a subject that is gone holds nothing. Decisions on
them would not see each other without it. People make such changes, so there are few.
"""

from __future__ import annotations

from libs.contracts.base import Resource
from libs.store.database import Change, Documents, Scope


class Access(Resource):
    """How often who may do what has changed."""


ACCESS = Documents("access", Access, key=lambda _: "access")


async def access(scope: Scope, organization: str) -> Access:
    """Read it before anything that the decision rests on."""
    return await scope.of(organization).get(ACCESS, "access") or Access()


def moved(access: Access, organization: str) -> Change:
    return ACCESS.put(access.model_copy(update={"revision": access.revision + 1}), org=organization)
