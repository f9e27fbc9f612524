"""From what a client asks (a name and arguments) to the query that is read: resolved, permitted, filtered."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from gateway.claims import Claims
from gateway.directory import Directory
from libs.contracts import audit, deploy, identity, registry
from libs.contracts.base import Query, leaves
from libs.errors import MalformedMessage, OrganizationNotFound, UnknownQuery
from libs.narrowing import narrowed_query
from libs.service.commands import field_errors

# Read by gateways and services alone.
_INTERNAL = {
    identity.ListDirectory,
    identity.GetKeys,
    identity.CheckAuthorization,
    identity.CheckBrowser,
    identity.CheckDevice,
    identity.ListPeople,
    identity.ListGroups,
    registry.GetFiles,
}
_MODULES = (audit, deploy, identity, registry)
QUERIES: dict[str, type[Query[Any]]] = {
    found.message: found  # type: ignore[misc]  # leaves of Query are queries
    for found in leaves(Query)
    if found not in _INTERNAL and found.__module__.startswith(tuple(module.__name__ for module in _MODULES))
}
# About the caller, whose id is filled in; a client cannot ask about another.
_OWN = {
    identity.GetFactors,
    identity.GetMe,
    identity.ListOrgs,
    identity.ListPasskeys,
    identity.ListSessions,
}


class Asked(NamedTuple):
    """A query as a client names it; the organization by its slug."""

    query: str
    args: dict[str, Any]


def named_query(asked: Asked, claims: Claims | None, directory: Directory) -> Query[Any]:
    """The query to read on behalf of a caller; raises a Refusal if there is none or it is not theirs."""
    contract = QUERIES.get(asked.query)
    if contract is None:
        raise UnknownQuery(asked.query)
    args = {name: value for name, value in asked.args.items() if name not in contract.parts()}
    if contract in _OWN:
        args["user"] = claims.subject if claims else ""
    if contract is identity.ListSessions:
        args["session"] = (claims.session if claims else None) or ""
    if "org" in contract.model_fields:
        org = directory.org_id(str(args.get("org", "")))
        if org is None:
            raise OrganizationNotFound(str(args.get("org", "")))
        if contract.permission is not None and not directory.grants(claims, org):
            # Before the other arguments are looked at: to an outsider every answer is the same.
            raise OrganizationNotFound(str(args.get("org", "")))
        args["org"] = org
    try:
        query = contract.model_validate_json(orjson.dumps(args))
    except ValidationError as error:
        raise MalformedMessage("the arguments do not fit", errors=field_errors(error)) from None
    return permitted(query, claims, directory)


def permitted(query: Query[Any], claims: Claims | None, directory: Directory) -> Query[Any]:
    """The query narrowed to what the caller may see. A member without the permission is told so; to anybody
    else the organization does not exist."""
    tenant = query.tenant()
    grants = directory.grants(claims, tenant)
    if query.permission is None:
        return query
    if not grants:
        raise OrganizationNotFound(directory.slug(tenant) or "")
    return narrowed_query(query, grants)
