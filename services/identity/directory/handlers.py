"""What gateways must know to decide by themselves: everything, page by page, each page from one snapshot.

No rules and no documents of its own; it reads those of the other subjects.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from libs.contracts.identity import Directory, DirectoryEntry, ListDirectory, Role
from libs.permissions import PLATFORM
from libs.service.queries import reads_across
from libs.store.database import Scope
from services.identity.members import store as members
from services.identity.organizations import store as organizations
from services.identity.sessions import store as sessions
from services.identity.users import store as users

PAGE = 200
# Clocks of gateways may be behind ours.
SKEW = timedelta(minutes=1)


class DirectoryPages:
    def __init__(self, access_token_lifetime: timedelta) -> None:
        self._tokens_run = access_token_lifetime + SKEW

    @reads_across
    async def list_directory(self, query: ListDirectory, scope: Scope) -> Directory:
        found = await organizations.after(scope, query.cursor or "", PAGE + 1)
        page = found[:PAGE]
        roles: dict[str, dict[str, Role]] = defaultdict(dict)
        for organization, member in await members.of_organizations(scope, [org.id for org in page]):
            roles[organization][member.user] = member.role
        # A deleted organization has no members left, and its slug leads nowhere.
        entries = [
            DirectoryEntry(
                org=org.id,
                slug=None if org.deleted_at else org.slug,
                roles=roles[org.id],
                sequence=await scope.of(org.id).head(),
            )
            for org in page
        ]
        ended = await sessions.ended_since(scope, datetime.now(UTC) - self._tokens_run)
        return Directory(
            entries=tuple(entries),
            operators=tuple(sorted(account.id for account in await users.operators(scope))),
            ended=tuple(sorted(session.id for session in ended)),
            platform_sequence=await scope.of(PLATFORM).head(),
            next=page[-1].id if len(found) > PAGE else None,
        )
