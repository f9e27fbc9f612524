"""Every query on teams, and on who is in them."""

from __future__ import annotations

from libs.contracts.identity import Team, TeamMember
from libs.store.database import Documents, Index, Scope

TEAMS = Documents(
    "teams",
    Team,
    key=lambda team: team.id,
    indexes=[
        Index(("slug",), unique=True),  # by name; pages of an organization
        Index(("id",)),  # all, in the order in which they are provisioned
    ],
)
TEAM_MEMBERS = Documents(
    "team_members",
    TeamMember,
    key=lambda line: f"{line.team}/{line.user}",
    indexes=[
        Index(("team", "user")),  # who is in a team, page by page
        Index(("user",)),  # the teams of a user
    ],
)


async def by_id(scope: Scope, team: str) -> Team | None:
    return await scope.get(TEAMS, team)


async def by_slug(scope: Scope, slug: str) -> Team | None:
    return await scope.first(TEAMS, {"slug": slug})


async def everything(scope: Scope) -> list[Team]:
    return await scope.find(TEAMS, {}, sort="id")


async def everybody(scope: Scope) -> list[TeamMember]:
    return await scope.find(TEAM_MEMBERS, {}, sort="user")


async def page(scope: Scope, after: str, limit: int) -> list[Team]:
    return await scope.find(TEAMS, {"slug": {"$gt": after}}, sort="slug", limit=limit)


async def member(scope: Scope, team: str, user: str) -> TeamMember | None:
    return await scope.get(TEAM_MEMBERS, f"{team}/{user}")


async def members(scope: Scope, team: str, after: str = "", limit: int = 0) -> list[TeamMember]:
    return await scope.find(TEAM_MEMBERS, {"team": team, "user": {"$gt": after}}, sort="user", limit=limit)


async def of_user(scope: Scope, organization: str, user: str) -> list[TeamMember]:
    return await scope.of(organization).find(TEAM_MEMBERS, {"user": user})
