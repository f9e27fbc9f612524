"""What gateways must know to decide by themselves: keys, and who holds what."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from libs.contracts.base import Moment, Query, View
from libs.contracts.identity.accounts import KeyScope
from libs.contracts.identity.issuers import IssuerSettings


class KeySet(View):
    """Public keys that verify access tokens (RFC 7517), with the issuer they belong to."""

    keys: tuple[dict[str, Any], ...]
    issuer: str = "mes"


class AssignedRole(View):
    """One assignment; `subject` is the id of a user, a team or a service account."""

    subject: str
    role: str
    path: str


class KnownKey(View):
    """What a gateway must know of an API key, which it finds by the SHA-256 of what it is shown."""

    key: str
    account: str
    scope: KeyScope
    expires_at: Moment | None


class KnownIssuer(View):
    """What a gateway must know of a foreign issuer; a new revision may judge every token anew."""

    revision: int
    settings: IssuerSettings


class DirectoryEntry(View):
    """What a gateway must know of one organization to decide, at `sequence` of its identity stream."""

    org: str
    slug: str | None = None
    # Active members with their roles.
    members: dict[str, str] = Field(default_factory=dict)
    # The organization's own roles.
    roles: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    # Teams by id, with their members.
    teams: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    assignments: dict[str, AssignedRole] = Field(default_factory=dict)
    # Service accounts with their names.
    accounts: dict[str, str] = Field(default_factory=dict)
    # API keys by fingerprint.
    keys: dict[str, KnownKey] = Field(default_factory=dict)
    # Trust rules with the service account that each belongs to.
    rules: dict[str, str] = Field(default_factory=dict)
    issuers: dict[str, KnownIssuer] = Field(default_factory=dict)
    # Foreign identities (`issuer|subject`) with the user that each of them is.
    links: dict[str, str] = Field(default_factory=dict)
    sequence: int


class Directory(View):
    """All organizations, page by page. With each page, the operators and the sessions that ended while
    their access tokens still run."""

    entries: tuple[DirectoryEntry, ...]
    operators: tuple[str, ...]
    ended: tuple[str, ...]
    platform_sequence: int
    next: str | None


class GetKeys(Query[KeySet]):
    def topics(self) -> tuple[str, ...]:
        return ("keys",)


class ListDirectory(Query[Directory]):
    """For gateways only; no route leads here."""

    cursor: str | None = None

    def topics(self) -> tuple[str, ...]:
        return ()
