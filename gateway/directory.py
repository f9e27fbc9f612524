"""What this gateway knows of organizations, roles and ended sessions: a replica in memory, kept by events.

A decision never touches the network. The replica is read once at start and follows every identity stream
from there, so a right that is taken away is gone here as soon as the event arrives (G7).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from libs.bus.rpc import Asker
from libs.contracts.base import service_caller
from libs.contracts.envelope import Fact, Stream
from libs.contracts.identity import Directory as Page
from libs.contracts.identity import (
    ListDirectory,
    MemberRemoved,
    MemberSet,
    OrganizationCreated,
    OrganizationDeleted,
    SessionEnded,
    UserRegistered,
)
from libs.errors import Unavailable
from libs.permissions import PLATFORM, Grant

# An ended session matters while one of its access tokens could still be valid.
ENDED_KEPT_S = 15 * 60.0


class DirectoryNotRead(Unavailable):
    """This gateway has just started and does not know yet who may do what."""


@dataclass
class Organization:
    id: str
    slug: str | None = None
    roles: dict[str, str] = field(default_factory=dict)


class Directory:
    """`on_change(users, sessions)` is told whose rights may have changed."""

    def __init__(self) -> None:
        self.epoch = 0
        self._is_read = False
        self.on_change: Callable[[set[str], set[str]], None] = lambda users, sessions: None
        self._orgs: dict[str, Organization] = {}
        self._by_slug: dict[str, Organization] = {}
        self._operators: set[str] = set()
        self._ended: dict[str, float] = {}

    async def load(self, asker: Asker) -> dict[Stream, int]:
        """Reads everything; answers how far each identity stream is known by that."""
        reached: dict[Stream, int] = {}
        async for page in _pages(asker):
            for entry in page.entries:
                organization = self._organization(entry.org)
                organization.roles = dict(entry.roles)
                if organization.slug and organization.slug != entry.slug:
                    # Deleted since an earlier try to load.
                    self._by_slug.pop(organization.slug, None)
                organization.slug = entry.slug
                if entry.slug:
                    self._by_slug[entry.slug] = organization
            self._operators |= set(page.operators)
            self._ended |= dict.fromkeys(page.ended, time.monotonic())
            _note(page, reached)
        self._is_read = True
        return reached

    async def heads(self, asker: Asker) -> dict[Stream, int]:
        """How far identity's streams are by now, those included that have begun since the directory was
        read. What lies between comes as events, in order; reading states over them could undo a newer one."""
        reached: dict[Stream, int] = {}
        async for page in _pages(asker):
            _note(page, reached)
        return reached

    def apply(self, fact: Fact) -> None:
        """One identity event, in order."""
        if fact.service != "identity":
            return
        match fact.type:
            case OrganizationCreated.message:
                organization = self._organization(fact.org)
                organization.slug = fact.data["slug"]
                self._by_slug[fact.data["slug"]] = organization
                self._changed()
            case OrganizationDeleted.message:
                organization = self._organization(fact.org)
                users = set(organization.roles)
                organization.roles.clear()
                self._by_slug.pop(fact.data["slug"], None)
                self._changed(users)
            case MemberSet.message:
                self._organization(fact.org).roles[fact.data["user"]] = fact.data["role"]
                self._changed({fact.data["user"]})
            case MemberRemoved.message:
                self._organization(fact.org).roles.pop(fact.data["user"], None)
                self._changed({fact.data["user"]})
            case SessionEnded.message:
                self._end(fact.data["session"])
            case UserRegistered.message if fact.data.get("operator"):
                self._operators.add(fact.data["user"])
                self._changed({fact.data["user"]})
            case _:
                pass

    def org_id(self, slug: str) -> str | None:
        """Raises DirectoryNotRead: that nobody knows it yet is not to say that there is none."""
        self._must_be_read()
        organization = self._by_slug.get(slug)
        return organization.id if organization else None

    def slug(self, org: str) -> str | None:
        organization = self._orgs.get(org)
        return organization.slug if organization else None

    def grants(self, user: str, org: str) -> tuple[Grant, ...]:
        """What the user holds in an organization, or in the installation itself."""
        if org == PLATFORM:
            return (Grant("operator", PLATFORM),) if user in self._operators else ()
        organization = self._orgs.get(org)
        role = organization.roles.get(user) if organization else None
        return (Grant(role, org),) if role else ()

    def has_ended(self, session: str) -> bool:
        self._must_be_read()
        return session in self._ended

    def _must_be_read(self) -> None:
        if not self._is_read:
            raise DirectoryNotRead("ask again in a moment")

    def _organization(self, org: str) -> Organization:
        return self._orgs.setdefault(org, Organization(org))

    def _end(self, session: str) -> None:
        now = time.monotonic()
        self._ended[session] = now
        for old in [name for name, at in self._ended.items() if now - at > ENDED_KEPT_S]:
            del self._ended[old]
        self._changed(sessions={session})

    def _changed(self, users: set[str] | None = None, sessions: set[str] | None = None) -> None:
        self.epoch += 1
        self.on_change(users or set(), sessions or set())


async def _pages(asker: Asker) -> AsyncIterator[Page]:
    cursor: str | None = None
    while True:
        page = await asker.query(ListDirectory(cursor=cursor), service_caller("gateway"))
        yield page
        cursor = page.next
        if cursor is None:
            return


def _note(page: Page, reached: dict[Stream, int]) -> None:
    reached |= {Stream("identity", entry.org): entry.sequence for entry in page.entries}
    # The oldest page counts: what came after it arrives as events.
    reached.setdefault(Stream("identity", PLATFORM), page.platform_sequence)
