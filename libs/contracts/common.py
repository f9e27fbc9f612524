"""Messages that every service answers in the same way: reading together, its log, its parked messages."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from libs.contracts.base import Frozen, View
from libs.contracts.envelope import Fact
from libs.errors import Problem


class NamedQuery(Frozen):
    query: str
    args: dict[str, Any]


class ReadTogether(Frozen):
    """Several queries on one organization, answered from one snapshot. Bus name `<service>.read`."""

    org: str
    queries: tuple[NamedQuery, ...] = Field(min_length=1, max_length=256)


class Answer(View):
    """One answer of a snapshot: the value, or the problem."""

    value: Any = None
    problem: Problem | None = None


class Snapshot(View):
    """Answers in the order of the queries; all hold at `sequence` of the organization's stream."""

    sequence: int
    answers: tuple[Answer, ...]


class ReadEvents(Frozen):
    """The owner's log after a sequence. Bus name `<service>.read_events`."""

    org: str
    after: int = Field(ge=0)
    limit: int = Field(default=200, ge=1, le=1000)


class Events(View):
    facts: tuple[Fact, ...]


class ReadHeads(Frozen):
    """The newest sequence of each named organization. Bus name `<service>.read_heads`."""

    orgs: tuple[str, ...] = Field(max_length=1000)


class Heads(View):
    sequences: dict[str, int]


class ListParked(Frozen):
    """Messages that could not be processed. Bus name `<service>.list_parked`."""

    limit: int = Field(default=50, ge=1, le=500)


class ParkedMessage(View):
    id: str
    service: str
    queue: str
    reason: str
    parked_at: str
    attempts: int
    body: str


class Parked(View):
    messages: tuple[ParkedMessage, ...]


class ReplayParked(Frozen):
    """Sends parked messages back to where they came from. Bus name `<service>.replay_parked`."""

    ids: tuple[str, ...] = Field(min_length=1, max_length=500)


class Replayed(View):
    replayed: tuple[str, ...]


# Bus names of the above, after the service's own name.
READ = "read"
READ_EVENTS = "read_events"
READ_HEADS = "read_heads"
LIST_PARKED = "list_parked"
REPLAY_PARKED = "replay_parked"
