"""What a commit is, what was answered to one, and how one may end unsaved. No database here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from libs.contracts.base import Event
from libs.contracts.envelope import Fact
from libs.errors import TooLarge
from libs.store.database import Change


@dataclass(frozen=True)
class Author:
    """Who caused a commit, from where, in which request."""

    subject: str
    name: str = ""
    address: str | None = None
    agent: str | None = None
    session: str | None = None
    request: str | None = None
    causation: str | None = None


@dataclass(frozen=True)
class RecordedReply:
    """What was answered to a request id, and the sequences it reached."""

    fingerprint: str
    ok: bool
    body: bytes
    reached: dict[str, int]


@dataclass
class Commit:
    """What one request wants saved. `org` is the tenant of changes and events that name none."""

    org: str
    changes: Sequence[Change]
    events: Sequence[Event]
    author: Author
    # The record under which a repeated request gets the same answer; None where nobody can repeat it.
    request: str | None = None
    fingerprint: str = ""
    ok: bool = True
    reply: bytes = b"null"
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    traceparent: str | None = None
    reached: dict[str, int] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)

    def keys(self) -> set[tuple[str, str]]:
        return {(c.documents.name, f"{c.org or self.org}/{c.id}") for c in self.changes}


class EventTooLarge(TooLarge):
    """What would be told of this change is larger than an event may be."""


class StateChanged(Exception):
    """What the decision was based on is no longer so: load and decide again."""


class AlreadyAnswered(Exception):
    """This request id has been answered; nothing was done now."""

    def __init__(self, recorded: RecordedReply) -> None:
        super().__init__()
        self.recorded = recorded


def encode_reply(value: Any) -> bytes:
    """The recorded form of an answer."""
    if value is None:
        return b"null"
    if hasattr(value, "model_dump_json"):
        return bytes(value.model_dump_json().encode())
    return orjson.dumps(value)
