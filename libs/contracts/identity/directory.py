"""What gateways must know to decide by themselves: keys, and who holds what."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from libs.contracts.base import Query, View
from libs.contracts.identity.organizations import Role


class KeySet(View):
    """Public keys that verify access tokens (RFC 7517), with the issuer they belong to."""

    keys: tuple[dict[str, Any], ...]
    issuer: str = "mes"


class DirectoryEntry(View):
    """What a gateway must know of one organization to decide, at `sequence` of its identity stream."""

    org: str
    slug: str | None = None
    roles: dict[str, Role] = Field(default_factory=dict)
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
