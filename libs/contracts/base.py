"""The forms that every message shares: commands, queries, events, and who is asking. No I/O.

A message's bus name is its owner plus its class name in snake case: `libs.contracts.registry.CreateApp`
is `registry.create_app`. Contracts grow, never bend: a new optional field is fine, a new meaning is a
new message.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from libs.permissions import PLATFORM, Grant, Visible

Reply = TypeVar("Reply")
Item = TypeVar("Item")

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$")]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
Cursor = Annotated[str, StringConstraints(max_length=512)]


def _in_utc(moment: datetime) -> datetime:
    """Milliseconds in UTC: what the database keeps, so a value reads back equal to what was written."""
    try:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the year is out of range in UTC") from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


Moment = Annotated[datetime, AfterValidator(_in_utc)]


class Frozen(BaseModel):
    """A value: never changed, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class View(BaseModel):
    """What a reader gets. Unknown fields are ignored, so an older reader bears a newer writer."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Resource(View):
    """A view of one thing that changes; `revision` grows with each change and is its ETag."""

    revision: int = 0


class Page(View, Generic[Item]):
    items: tuple[Item, ...]
    next: str | None = None


class Caller(Frozen):
    """Who asks, as the gateway verified it, with the grants that concern the request's organization."""

    subject: str
    name: str = ""
    session: str | None = None
    address: str | None = None
    agent: str | None = None
    grants: tuple[Grant, ...] = ()


# How the subjects of our own processes begin.
SERVICE = "service:"


def service_caller(service: str) -> Caller:
    """A service that asks on its own behalf, for instance to fill a gap in a feed."""
    return Caller(subject=f"{SERVICE}{service}", name=service)


def topic(*parts: str) -> str:
    """A topic is what a read depends on and an event touches; the two meet by equality."""
    return "/".join(parts)


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _owner(module: str) -> str:
    """The service whose contracts a module holds; a service with many subjects has a package of modules."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["libs", "contracts"] else parts[-1]


class Message(Frozen):
    owner: ClassVar[str] = ""
    # The bus name, `owner.message_in_snake_case`.
    message: ClassVar[str] = ""

    def __init_subclass__(cls, permission: str | None = None, **kwargs: Any) -> None:
        # `permission=…` in a class line is read by pydantic's own hook below.
        super().__init_subclass__(**kwargs)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "[" not in cls.__name__:
            cls.owner = _owner(cls.__module__)
            cls.message = f"{cls.owner}.{snake(cls.__name__)}"


def _reply_of(cls: type[BaseModel]) -> TypeAdapter[Any] | None:
    for base in cls.__mro__:
        metadata = getattr(base, "__pydantic_generic_metadata__", None)
        if metadata and metadata["args"]:
            return TypeAdapter(metadata["args"][0])
    return None


class Asking(Message, Generic[Reply]):
    """A message that is answered. `permission` is what the caller must hold on `resource()`."""

    reply: ClassVar[TypeAdapter[Any]]
    permission: ClassVar[str | None] = None

    @classmethod
    def __pydantic_init_subclass__(cls, permission: str | None = None, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if permission is not None:
            cls.permission = permission
        adapter = _reply_of(cls)
        if adapter is not None and "[" not in cls.__name__:
            cls.reply = adapter

    def tenant(self) -> str:
        """The organization whose stream and documents this concerns."""
        return getattr(self, "org", PLATFORM)

    def resource(self) -> str:
        return self.tenant()


class Command(Asking[Reply], Generic[Reply]):
    """An order; may be refused. One effect and one answer for each request id."""

    # What an audit entry of a refused attempt names, and what counts as the same request.
    def attempt(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class Query(Asking[Reply], Generic[Reply]):
    """A question; changes nothing, and can be watched.

    `topics()` names what the answer depends on. `parts()` names the fields that hold which part of the
    organization the caller may see, each with the permission that it follows from. They are filled in from
    the caller's grants, never by a client (see `libs.narrowing`), and so are part of the key under which
    callers share an answer. Left empty they show nothing.
    """

    @classmethod
    def parts(cls) -> dict[str, str]:
        return {}

    def topics(self) -> tuple[str, ...]:
        raise NotImplementedError(self.message)


class Filtered(Frozen):
    """Mixed into queries whose rows are filtered by what the caller may see.

    Who may see none of them gets an empty list, which fills as rights are given; or, where it is
    `refused_without`, is told what is missing.
    """

    refused_without: ClassVar[bool] = False
    visible: Visible = Visible(False)

    @classmethod
    def parts(cls) -> dict[str, str]:
        # Mixed into queries, which name what their rows need.
        return {"visible": cls.permission}  # type: ignore[attr-defined]


class Paged(Frozen):
    cursor: Cursor | None = None
    limit: int = Field(default=50, ge=1, le=200)


class Event(Message):
    """A fact. `topics()` names what it touches; `permission` on `resource()` is needed to see it."""

    permission: ClassVar[str] = "org:read"

    @classmethod
    def __pydantic_init_subclass__(cls, permission: str | None = None, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if permission is not None:
            cls.permission = permission

    def tenant(self) -> str:
        return getattr(self, "org", PLATFORM)

    def resource(self) -> str:
        return self.tenant()

    def topics(self) -> tuple[str, ...]:
        return ()

    def summary(self) -> str:
        """One line for people, as the audit log shows it."""
        return self.message


def leaves(cls: type[Message]) -> list[type[Message]]:
    """Every concrete message below a class, by name."""
    found = {
        sub
        for sub in _below(cls)
        if "[" not in sub.__name__ and not sub.__name__.startswith("_") and sub.owner not in ("", "base")
    }
    return sorted(found, key=lambda sub: sub.message)


def _below(cls: type[Message]) -> list[type[Message]]:
    return [deep for sub in cls.__subclasses__() for deep in (sub, *_below(sub))]
