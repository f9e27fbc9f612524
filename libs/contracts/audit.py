"""Messages of audit: the log's entries and how they are searched."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from libs.contracts.base import Command, Event, Filtered, Moment, Page, Paged, Query, View, topic


class Entry(View):
    """Who did what, on what, when, from where, in which trace; refused attempts too."""

    id: str
    action: str
    outcome: Literal["done", "refused"]
    actor: str
    actor_name: str
    resource: str
    summary: str
    occurred_at: Moment
    recorded_at: Moment
    address: str | None = None
    agent: str | None = None
    session: str | None = None
    trace_id: str | None = None
    service: str
    sequence: int
    data: dict[str, Any] = Field(default_factory=dict)


class RecordRefusal(Command[None]):
    """An attempt that a gateway refused before any service saw it."""

    org: str
    action: str
    target: str
    code: str


class ListEntries(Filtered, Paged, Query[Page[Entry]], permission="audit:read"):
    """Newest first. `action` matches exactly or, ending in `*`, by its beginning.

    `resource_prefix` finds a node with everything below it or, ending in `*`, by its beginning.
    """

    refused_without: ClassVar[bool] = True

    org: str
    actor: str | None = None
    action: str | None = None
    resource_prefix: str | None = None
    outcome: Literal["done", "refused"] | None = None
    trace: str | None = None
    since: Moment | None = None
    until: Moment | None = None

    def topics(self) -> tuple[str, ...]:
        return (topic("entries", self.org),)


class EntriesRecorded(Event, permission="audit:read"):
    """New entries can be read. Not an entry itself."""

    org: str
    count: int

    def topics(self) -> tuple[str, ...]:
        return (topic("entries", self.org),)

    def summary(self) -> str:
        return f"{self.count} entries recorded"


class AttemptRefused(Event, permission="audit:read"):
    """A command that was refused, in the stream of the service that refused it."""

    org: str
    target: str
    command: str
    code: str
    attempt: dict[str, Any]

    def resource(self) -> str:
        return self.target

    def summary(self) -> str:
        return f"{self.command} refused: {self.code}"
