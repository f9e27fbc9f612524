"""An event as it is stored and sent: the fact with its place, author and trace, as CloudEvents 1.0."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict

from libs.contracts.base import Moment

CONTENT_TYPE = "application/cloudevents+json"
MAX_EVENT_BYTES = 64 * 1024


class Stream(NamedTuple):
    """Where sequences count: one stream for each service and organization."""

    service: str
    org: str

    def __str__(self) -> str:
        return f"{self.service}/{self.org}"


class Position(NamedTuple):
    """A version: so far in this stream."""

    service: str
    org: str
    sequence: int

    @property
    def stream(self) -> Stream:
        return Stream(self.service, self.org)


class Fact(BaseModel):
    """One recorded event. `topics`, `permission` and `summary` travel along, so that those who store or
    forward facts need not know every event."""

    model_config = ConfigDict(frozen=True)

    service: str
    org: str
    sequence: int
    type: str
    subject: str
    time: Moment
    data: dict[str, Any]
    topics: tuple[str, ...] = ()
    permission: str = "org:read"
    summary: str = ""
    actor: str = ""
    actor_name: str = ""
    address: str | None = None
    agent: str | None = None
    session: str | None = None
    # The origin's trace context; the AMQP header carries the current hop.
    traceparent: str | None = None
    request: str | None = None
    causation: str | None = None

    @property
    def id(self) -> str:
        return f"{self.service}:{self.org}:{self.sequence}"

    @property
    def stream(self) -> Stream:
        return Stream(self.service, self.org)

    @property
    def trace_id(self) -> str | None:
        return self.traceparent.split("-")[1] if self.traceparent else None

    def cloud_event(self) -> dict[str, Any]:
        """The structured form. Extension names are lower case without separators, as the standard asks."""
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": f"/mes/{self.service}",
            "type": self.type,
            "subject": self.subject,
            "time": self.time.isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "organization": self.org,
            "sequence": f"{self.sequence:020d}",
            "topics": " ".join(self.topics),
            "permission": self.permission,
            "summary": self.summary,
            "authtype": _auth_type(self.actor),
            "authid": self.actor,
            "authname": self.actor_name,
            "clientaddress": self.address,
            "useragent": self.agent,
            "sessionid": self.session,
            "traceparent": self.traceparent,
            "correlationid": self.request,
            "causationid": self.causation,
            "data": self.data,
        }
        return {key: value for key, value in event.items() if value is not None}

    def encode(self) -> bytes:
        return orjson.dumps(self.cloud_event())

    @classmethod
    def decode(cls, body: bytes) -> Fact:
        """Raises ValueError if the bytes are no event of ours."""
        try:
            raw = orjson.loads(body)
            return cls(
                service=raw["source"].removeprefix("/mes/"),
                org=raw["organization"],
                sequence=int(raw["sequence"]),
                type=raw["type"],
                subject=raw["subject"],
                time=datetime.fromisoformat(raw["time"]),
                data=raw["data"],
                topics=tuple(raw.get("topics", "").split()),
                permission=raw.get("permission", "org:read"),
                summary=raw.get("summary", ""),
                actor=raw.get("authid", ""),
                actor_name=raw.get("authname", ""),
                address=raw.get("clientaddress"),
                agent=raw.get("useragent"),
                session=raw.get("sessionid"),
                traceparent=raw.get("traceparent"),
                request=raw.get("correlationid"),
                causation=raw.get("causationid"),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an event: {error!r}") from error


def _auth_type(actor: str) -> str:
    if actor.startswith("service:"):
        return "system"
    return "user" if actor.startswith("usr_") else "unauthenticated"
