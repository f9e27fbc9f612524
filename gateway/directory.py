"""What this gateway knows of who may do what: a replica in memory, kept by events.

A decision never touches the network. The replica is read once at start and follows every identity stream
from there, so a right that is taken away is gone here as soon as the event arrives (G7).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

from gateway.access import NOTHING, Changed, OrganizationAccess
from gateway.claims import Claims
from libs.bus.rpc import Asker
from libs.contracts.base import service_caller
from libs.contracts.envelope import Fact, Stream
from libs.contracts.identity import Directory as Page
from libs.contracts.identity import (
    IssuerRemoved,
    IssuerSet,
    KeyCreated,
    KnownIssuer,
    KnownKey,
    ListDirectory,
    OrganizationCreated,
    OrganizationDeleted,
    ServiceAccountCreated,
    SessionEnded,
    TokenRevoked,
    UserRegistered,
)
from libs.errors import Unavailable
from libs.permissions import OPERATOR, PLATFORM, Grant, narrowed

# An ended session matters while one of its access tokens could still be valid.
ENDED_KEPT_S = 60 * 60.0


class DirectoryNotRead(Unavailable):
    """This gateway has just started and does not know yet who may do what."""


class Directory:
    """`on_change` is told whose rights may have changed, and what has ended."""

    def __init__(self) -> None:
        self.epoch = 0
        self._is_read = False
        self.on_change: Callable[[Changed], None] = lambda changed: None
        self._orgs: dict[str, OrganizationAccess] = {}
        self._by_slug: dict[str, OrganizationAccess] = {}
        self._operators: set[str] = set()
        # Whose each key is, by the key's fingerprint.
        self._keys: dict[str, OrganizationAccess] = {}
        # Where each service account belongs.
        self._accounts: dict[str, OrganizationAccess] = {}
        # By issuer, who trusts it; made anew when it is asked for after a change.
        self._trusting: dict[str, list[tuple[OrganizationAccess, str, KnownIssuer]]] | None = None
        # Sessions and tokens that are over, with when that was heard.
        self._ended: dict[str, float] = {}

    async def load(self, asker: Asker) -> dict[Stream, int]:
        """Reads everything; answers how far each identity stream is known by that."""
        reached: dict[Stream, int] = {}
        async for page in _pages(asker):
            for entry in page.entries:
                organization = self._organization(entry.org)
                self._unlist(organization)
                organization.load(entry)
                self._list(organization)
                self._keys |= dict.fromkeys(organization.keys, organization)
                self._accounts |= dict.fromkeys(organization.accounts, organization)
            self._operators |= set(page.operators)
            self._ended |= dict.fromkeys(page.ended, time.monotonic())
            _note(page, reached)
        self._trusting = None
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
                self._list(organization)
                self._changed(NOTHING)
            case OrganizationDeleted.message:
                organization = self._organization(fact.org)
                self._unlist(organization)
                self._trusting = None
                self._changed(organization.clear())
            case TokenRevoked.message:
                self._changed(Changed(ended=frozenset({fact.data["jti"]})))
            case SessionEnded.message:
                self._changed(Changed(ended=frozenset({fact.data["session"]})))
            case UserRegistered.message if fact.data.get("operator"):
                self._operators.add(fact.data["user"])
                self._changed(Changed(frozenset({fact.data["user"]})))
            case _ if fact.org != PLATFORM:
                organization = self._organization(fact.org)
                changed = organization.apply(fact)
                if fact.type in (IssuerSet.message, IssuerRemoved.message):
                    self._trusting = None
                if fact.type == ServiceAccountCreated.message:
                    self._accounts[fact.data["account"]] = organization
                if fact.type == KeyCreated.message:
                    self._keys[fact.data["fingerprint"]] = organization
                if changed is not NOTHING:
                    self._changed(changed)
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

    def access(self, org: str) -> OrganizationAccess | None:
        return self._orgs.get(org)

    def grants(self, claims: Claims | None, org: str) -> tuple[Grant, ...]:
        """What the caller holds in an organization, or in the installation itself."""
        if claims is None or claims.org not in (None, org):
            return ()
        if org == PLATFORM:
            operates = claims.subject in self._operators
            held: tuple[Grant, ...] = (Grant(OPERATOR, PLATFORM),) if operates else ()
        else:
            organization = self._orgs.get(org)
            held = organization.grants(claims.subject) if organization else ()
            if held and claims.roles and organization:
                held = (*held, *(organization.grant(role, "", "token") for role in claims.roles))
        return narrowed(held, claims.limits) if claims.limits else held

    def key(self, fingerprint: str) -> tuple[str, str, KnownKey] | None:
        """The organization that a key belongs to, the name of its account, and the key."""
        self._must_be_read()
        organization = self._keys.get(fingerprint)
        known = organization.keys.get(fingerprint) if organization else None
        if organization is None or known is None:
            return None
        return organization.id, organization.accounts.get(known.account, ""), known

    def organization_of(self, account: str) -> str | None:
        """The organization that a service account belongs to."""
        self._must_be_read()
        organization = self._accounts.get(account)
        return organization.id if organization and account in organization.accounts else None

    def trusting(self, issuer: str) -> list[tuple[OrganizationAccess, str, KnownIssuer]]:
        """The organizations that trust an issuer, each with what it calls it and how it takes its tokens."""
        self._must_be_read()
        if self._trusting is None:
            self._trusting = {}
            for _, organization in sorted(self._orgs.items()):
                for name, known in organization.issuers.items():
                    self._trusting.setdefault(known.settings.issuer, []).append((organization, name, known))
        return self._trusting.get(issuer, [])

    def stands(self, claims: Claims) -> bool:
        """False if something that the token rests on is over."""
        self._must_be_read()
        if not self._ended.keys().isdisjoint(claims.rests_on):
            return False
        if not claims.needs:
            return True
        organization = self._orgs.get(claims.org or "")
        return organization is not None and organization.standing() >= claims.needs

    def _must_be_read(self) -> None:
        if not self._is_read:
            raise DirectoryNotRead("ask again in a moment")

    def _organization(self, org: str) -> OrganizationAccess:
        return self._orgs.setdefault(org, OrganizationAccess(org))

    def _list(self, organization: OrganizationAccess) -> None:
        if organization.slug:
            self._by_slug[organization.slug] = organization

    def _unlist(self, organization: OrganizationAccess) -> None:
        if organization.slug:
            self._by_slug.pop(organization.slug, None)

    def _changed(self, changed: Changed) -> None:
        self.epoch += 1
        now = time.monotonic()
        self._ended |= dict.fromkeys(changed.ended, now)
        if changed.ended:
            for old in [name for name, at in self._ended.items() if now - at > ENDED_KEPT_S]:
                del self._ended[old]
        self.on_change(changed)


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
