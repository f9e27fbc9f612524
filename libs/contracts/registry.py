"""Messages of registry: applications, and their immutable versions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from libs.contracts.base import (
    Command,
    Event,
    Filtered,
    Frozen,
    Moment,
    Name,
    Page,
    Paged,
    Query,
    Resource,
    Slug,
    View,
    topic,
)
from libs.permissions import Visible

Kind = Literal["remote", "host"]
NOTHING = Visible(False)
_SEMVER = (
    r"^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})"
    r"(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
)
SemVer = Annotated[str, StringConstraints(max_length=64, pattern=_SEMVER)]


# Deeper than anybody nests by hand, and well within what every encoder on the way bears.
MAX_DEPTH = 64


def is_shallow(value: Any) -> bool:
    """True if JSON is nested no deeper than `MAX_DEPTH`."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [node for node in level if isinstance(node, dict | list)]
        if not inner:
            return True
        level = [below for node in inner for below in (node.values() if isinstance(node, dict) else node)]
    return False


def _small(metadata: dict[str, Any]) -> dict[str, Any]:
    if not is_shallow(metadata):
        raise ValueError("metadata is nested too deep")
    if len(str(metadata)) > 8192:
        raise ValueError("metadata is larger than 8 KiB")
    return metadata


Metadata = Annotated[dict[str, Any], AfterValidator(_small)]


# What readers get.
class App(Resource):
    slug: str
    name: str
    kind: Kind
    created_at: Moment
    created_by: str
    # Both are told to those who may see the application's versions.
    latest: str | None = None
    versions: int | None = None


class FileRecord(View):
    """One file of a version: `integrity` is `sha384-…` in base64 as browsers check it; `digest` is the
    SHA-256 in hex under which the bytes are stored."""

    path: str
    size: int
    integrity: str
    digest: str


class Remote(View):
    """What a shell needs to load a version, read from its manifest once."""

    name: str
    entry: str
    type: str
    exposes: tuple[str, ...]


class VersionSummary(Resource):
    app: str
    version: str
    digest: str
    state: Literal["published"]
    size: int
    published_at: Moment
    published_by: str
    # Those environments in which the reader may see what is live.
    live_in: tuple[str, ...] = ()


class Version(VersionSummary):
    manifest: dict[str, Any]
    remote: Remote
    files: tuple[FileRecord, ...]
    metadata: dict[str, Any] = Field(default_factory=dict)


class PublishedVersion(View):
    version: Version
    # False if the same bytes had been published before.
    created: bool


class VersionFiles(View):
    """The path table that assets are served by. A version never changes, so neither does this."""

    files: tuple[FileRecord, ...]


# Commands.
class CreateApp(Command[App], permission="app:create"):
    org: str
    slug: Slug
    name: Name
    kind: Kind


class UpdateApp(Command[App], permission="app:update"):
    org: str
    slug: Slug
    name: Name
    if_revision: int | None = None

    def resource(self) -> str:
        return f"{self.org}/{self.slug}"


class PublishVersion(Command[PublishedVersion], permission="version:publish"):
    """The archive waits in the object store under `upload`, the SHA-256 of its bytes in hex."""

    org: str
    app: Slug
    version: SemVer
    upload: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    metadata: Metadata = Field(default_factory=dict)

    def resource(self) -> str:
        return f"{self.org}/{self.app}"


# Queries.
class ListApps(Filtered, Paged, Query[Page[App]], permission="app:read"):
    org: str
    # Of which applications the versions are told of.
    versions_of: Visible = NOTHING

    @classmethod
    def parts(cls) -> dict[str, str]:
        return {**super().parts(), "versions_of": "version:read"}

    def topics(self) -> tuple[str, ...]:
        return (topic("apps", self.org),)


class GetApp(Query[App], permission="app:read"):
    org: str
    app: Slug
    versions_of: Visible = NOTHING

    @classmethod
    def parts(cls) -> dict[str, str]:
        return {"versions_of": "version:read"}

    def resource(self) -> str:
        return f"{self.org}/{self.app}"

    def topics(self) -> tuple[str, ...]:
        return (topic("app", self.org, self.app),)


class ListVersions(Paged, Query[Page[VersionSummary]], permission="version:read"):
    org: str
    app: Slug
    # Where it is told what is live.
    live_at: Visible = NOTHING

    @classmethod
    def parts(cls) -> dict[str, str]:
        return {"live_at": "rollout:read"}

    def resource(self) -> str:
        return f"{self.org}/{self.app}"

    def topics(self) -> tuple[str, ...]:
        return (topic("versions", self.org, self.app),)


class GetVersion(Query[Version], permission="version:read"):
    org: str
    app: Slug
    version: SemVer
    live_at: Visible = NOTHING

    @classmethod
    def parts(cls) -> dict[str, str]:
        return {"live_at": "rollout:read"}

    def resource(self) -> str:
        return f"{self.org}/{self.app}"

    def topics(self) -> tuple[str, ...]:
        return (topic("version", self.org, self.app, self.version),)


class GetFiles(Query[VersionFiles]):
    """Public: the assets of a published version are."""

    org: str
    app: Slug
    version: SemVer

    def topics(self) -> tuple[str, ...]:
        return (topic("version", self.org, self.app, self.version),)


# Events.
class _OfApp(Event, Frozen, permission="app:read"):
    org: str
    app: str

    def resource(self) -> str:
        return f"{self.org}/{self.app}"


class AppCreated(_OfApp, permission="app:read"):
    kind: Kind

    def topics(self) -> tuple[str, ...]:
        # Asking for the versions of an application that is not there is an answer too.
        return (
            topic("apps", self.org),
            topic("app", self.org, self.app),
            topic("versions", self.org, self.app),
        )

    def summary(self) -> str:
        return f"{self.kind} {self.app} created"


class AppUpdated(_OfApp, permission="app:read"):
    def topics(self) -> tuple[str, ...]:
        return (topic("apps", self.org), topic("app", self.org, self.app))

    def summary(self) -> str:
        return f"{self.app} updated"


class VersionPublished(_OfApp, permission="version:read"):
    version: str
    digest: str
    size: int

    def topics(self) -> tuple[str, ...]:
        return (
            topic("apps", self.org),
            topic("app", self.org, self.app),
            topic("versions", self.org, self.app),
            topic("version", self.org, self.app, self.version),
        )

    def summary(self) -> str:
        return f"{self.app} {self.version} published"


class VersionsPlaced(_OfApp, permission="rollout:read"):
    """Where versions are live changed, because a rollout moved an environment."""

    environment: str
    live: str
    left: str | None

    def resource(self) -> str:
        # Who may see what is live there, and nobody else.
        return f"{self.org}/{self.app}/{self.environment}"

    def topics(self) -> tuple[str, ...]:
        moved = (self.live, self.left) if self.left else (self.live,)
        return (
            topic("versions", self.org, self.app),
            *(topic("version", self.org, self.app, version) for version in moved),
        )

    def summary(self) -> str:
        return f"{self.app} {self.live} is live in {self.environment}"
