"""What is left of a query under a caller's grants. Gateway and services apply this, each for itself.

A gateway narrows a query before it reads what many callers share; a service narrows whatever is asked for a
caller, and believes nothing that the message says about what that caller may see.
"""

from __future__ import annotations

from typing import Any, TypeVar

from libs.contracts.base import Filtered, Query
from libs.errors import PermissionMissing
from libs.permissions import Grant, Visible, allows, visible_part

Asked = TypeVar("Asked", bound=Query[Any])
NOTHING_VISIBLE = Visible(False)


def narrowed_query(query: Asked, grants: tuple[Grant, ...]) -> Asked:
    """Raises PermissionMissing where the caller may not ask at all. It says the same of what is not there."""
    if query.permission is None:
        return query
    parts = {field: _part(query, grants, permission) for field, permission in query.parts().items()}
    if not isinstance(query, Filtered):
        if not allows(grants, query.permission, query.resource()):
            raise PermissionMissing(query.permission)
    elif query.refused_without and parts["visible"] == NOTHING_VISIBLE:
        raise PermissionMissing(query.permission)
    return query.model_copy(update=parts) if parts else query


def _part(query: Query[Any], grants: tuple[Grant, ...], permission: str) -> Visible:
    """Of a query on one application no more than concerns it, so that callers share its answer."""
    visible = visible_part(grants, permission, query.tenant())
    _, _, path = query.resource().partition("/")
    return visible.within(path.split("/")[0]) if path else visible
