"""What can be asked of an organization, over HTTP and over the live socket, and what a reader must be told.

What there is, is what the owner is told; a reader must be told exactly the part that the test's own model of
who holds what leaves of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.system.rows import ENVIRONMENTS, Reader, World

Json = dict[str, Any]
Rows = list[Json]
# Of a reader and what there is, what is left: rows or a document; a string is the code of a refusal.
Left = Callable[[Reader, Any], Any]
WHOLE_PAGE = 200


@dataclass
class Question:
    path: str
    query: str
    args: Json
    left: Left
    listed: bool = True

    @property
    def name(self) -> str:
        return self.path


@dataclass
class Told:
    """What somebody was told, with all text that came."""

    answers: dict[str, Any] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)


def questions(world: World, apps: list[str]) -> list[Question]:
    may = world.may

    def whole(permission: str) -> Left:
        return lambda reader, rows: rows if may(reader, permission) else "permission_missing"

    def app_shown(reader: Reader, app: Json) -> Json:
        if may(reader, "version:read", app["slug"]):
            return app
        return {**app, "latest": None, "versions": None}

    def version_shown(reader: Reader, version: Json) -> Json:
        live_in = [
            where for where in version["live_in"] if may(reader, "rollout:read", f"{version['app']}/{where}")
        ]
        return {**version, "live_in": live_in}

    def some_apps(reader: Reader, rows: Rows) -> Rows:
        return [app_shown(reader, row) for row in rows if may(reader, "app:read", row["slug"])]

    def of_app(permission: str, app: str, shown: Callable[[Reader, Json], Json]) -> Left:
        def left(reader: Reader, found: Any) -> Any:
            if not may(reader, permission, app):
                return "permission_missing"
            if isinstance(found, list):
                return [shown(reader, one) for one in found]
            return found if isinstance(found, str) else shown(reader, found)

        return left

    def in_environment(environment: str) -> Left:
        return lambda reader, rows: [
            row for row in rows if may(reader, "rollout:read", f"{row['app']}/{environment}")
        ]

    def some_assignments(reader: Reader, rows: Rows) -> Any:
        if not world.anywhere(reader, "assignment:read"):
            return "permission_missing"
        return [row for row in rows if may(reader, "assignment:read", row["path"])]

    below = world.below
    asked = [
        Question(f"{below}/apps", "registry.list_apps", {}, some_apps),
        Question(f"{below}/environments", "deploy.list_environments", {}, whole("environment:read")),
        Question(f"{below}/members", "identity.list_members", {}, whole("member:read")),
        Question(f"{below}/teams", "identity.list_teams", {}, whole("team:read")),
        Question(f"{below}/assignments", "identity.list_assignments", {}, some_assignments),
        Question(f"{below}/service-accounts", "identity.list_service_accounts", {}, whole("account:read")),
        Question(f"{below}/roles", "identity.list_roles", {}, whole("role:read"), listed=False),
    ]
    for environment in ENVIRONMENTS:
        where = {"environment": environment}
        at = f"{below}/environments/{environment}"
        asked += [
            Question(f"{at}/apps", "deploy.list_placements", where, in_environment(environment)),
            Question(f"{at}/rollouts", "deploy.list_rollouts", where, in_environment(environment)),
        ]
    for team in world.teams:
        path = f"{below}/teams/{team}/members"
        asked.append(Question(path, "identity.list_team_members", {"slug": team}, whole("team:read")))
    for account in world.accounts:
        path = f"{below}/service-accounts/{account}/keys"
        asked.append(Question(path, "identity.list_keys", {"account": account}, whole("account:read")))
    for app in apps:
        of, at = {"app": app}, f"{below}/apps/{app}"
        one = {**of, "version": "1.0.0"}
        all_versions = of_app("version:read", app, version_shown)
        asked += [
            Question(at, "registry.get_app", of, of_app("app:read", app, app_shown), listed=False),
            Question(f"{at}/versions", "registry.list_versions", of, all_versions),
            Question(f"{at}/versions/1.0.0", "registry.get_version", one, all_versions, listed=False),
        ]
    return asked


def told(value: Any) -> Any:
    """Without what changes by being looked at."""
    if isinstance(value, list):
        return [told(one) for one in value]
    if isinstance(value, dict):
        return {name: told(one) for name, one in value.items() if name != "last_used_at"}
    return value


async def pages(
    http: httpx.AsyncClient, path: str, size: int, text: list[str] | None = None, **params: Any
) -> AsyncIterator[Json | str]:
    """Each page; a refusal's code ends them."""
    cursor: str | None = None
    while True:
        turned = {"cursor": cursor} if cursor else {}
        answer = await http.get(path, params={"limit": size, **params, **turned})
        if answer.status_code != 200:
            yield str(answer.json()["code"])
            return
        if text is not None:
            text.append(answer.text)
        page: Json = answer.json()
        assert len(page["items"]) <= size
        yield page
        cursor = page["next"]
        if cursor is None:
            return


async def walked(
    http: httpx.AsyncClient, path: str, size: int, text: list[str] | None = None, **params: Any
) -> Any:
    rows: Rows = []
    async for page in pages(http, path, size, text, **params):
        if isinstance(page, str):
            return page
        rows += page["items"]
    return rows


async def asked_over_http(http: httpx.AsyncClient, asked: list[Question], sizes: Callable[[], int]) -> Told:
    """Every list page by page."""
    found = Told()
    for question in asked:
        if question.listed:
            answer = await walked(http, question.path, sizes(), found.text)
        else:
            response = await http.get(question.path)
            found.text.append(response.text if response.status_code == 200 else "")
            body = response.json()
            answer = body if response.status_code == 200 else str(body["code"])
        found.answers[question.name] = told(answer)
    return found
