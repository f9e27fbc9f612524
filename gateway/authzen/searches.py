"""AuthZEN's searches: who may, what may be done, on what. Each result is a decision of its own."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Iterable
from typing import Any

from gateway.authzen.decisions import DEPTHS, SUBJECT_TYPES, Organization
from gateway.authzen.questions import (
    MOST_RESULTS,
    Action,
    ActionSearch,
    Entity,
    Page,
    QuestionInvalid,
    ResourceSearch,
    SubjectSearch,
)
from gateway.portal import Portal
from libs.contracts import base, deploy, registry
from libs.contracts.base import Query
from libs.errors import Refused
from libs.permissions import Visible

LIST_PAGE = 200


def subjects(organization: Organization, search: SubjectSearch) -> dict[str, Any]:
    if search.subject.type not in SUBJECT_TYPES:
        return _page([], search.page)
    found = []
    for who in organization.subjects(search.subject.type):
        name = organization.name(who)
        entity = Entity(type=search.subject.type, id=name, properties=search.subject.properties)
        if organization.decide(entity, search.action, search.resource).allowed:
            found.append({"type": search.subject.type, "id": name})
    return _page(found, search.page)


def actions(organization: Organization, search: ActionSearch) -> dict[str, Any]:
    found = [
        {"name": name}
        for name in organization.actions(search.resource.type)
        if organization.decide(search.subject, Action(name=name), search.resource).allowed
    ]
    return _page(found, search.page)


async def resources(
    organization: Organization, search: ResourceSearch, portal: Portal, visible: Visible
) -> dict[str, Any]:
    kind = search.resource.type
    found = []
    async for name in _candidates(organization, kind, portal, visible):
        entity = Entity(type=kind, id=name, properties=search.resource.properties)
        if organization.decide(search.subject, search.action, entity).allowed:
            found.append({"type": kind, "id": name})
    return _page(found, search.page)


async def _candidates(
    organization: Organization, kind: str, portal: Portal, visible: Visible
) -> AsyncIterator[str]:
    """Ids of all resources of a type, as they are asked for."""
    own = kind in DEPTHS
    meant = kind if own else organization.words.resources.get(kind)
    if meant is None:
        return
    before = f"{organization.slug}/" if own else ""
    if meant == "organization":
        yield organization.slug
        return
    environments = await _environments(organization, portal) if meant == "environment" else []
    async for app in _apps(organization, portal, visible):
        if meant == "application":
            yield before + app
        for environment in environments:
            yield f"{before}{app}/{environment}"


async def _apps(organization: Organization, portal: Portal, visible: Visible) -> AsyncIterator[str]:
    cursor: str | None = None
    while True:
        query = registry.ListApps(org=organization.access.id, cursor=cursor, limit=LIST_PAGE, visible=visible)
        page = base.Page[registry.App].model_validate_json(await _read(query, portal))
        for app in page.items:
            yield app.slug
        cursor = page.next
        if cursor is None:
            return


async def _environments(organization: Organization, portal: Portal) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        query = deploy.ListEnvironments(org=organization.access.id, cursor=cursor, limit=LIST_PAGE)
        page = base.Page[deploy.Environment].model_validate_json(await _read(query, portal))
        found += [environment.slug for environment in page.items]
        cursor = page.next
        if cursor is None:
            return found


async def _read(query: Query[Any], portal: Portal) -> bytes:
    answer = await portal.engine.read(query)
    if answer.problem:
        raise Refused(answer.problem)
    return answer.body


def _page(found: Iterable[dict[str, Any]], page: Page) -> dict[str, Any]:
    """A part of the results, after the one that the token names. An empty token ends the list."""
    ordered = sorted(found, key=_key)
    after = _after(page.token)
    left = [one for one in ordered if _key(one) > after] if after else ordered
    limit = min(page.limit, MOST_RESULTS)
    shown = left[:limit]
    more = len(left) > limit
    token = base64.urlsafe_b64encode(_key(shown[-1]).encode()).decode() if more else ""
    return {"page": {"next_token": token, "count": len(shown), "total": len(ordered)}, "results": shown}


def _key(result: dict[str, Any]) -> str:
    return str(result.get("id", result.get("name")))


def _after(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise QuestionInvalid("page.token: not one that was given out") from None
