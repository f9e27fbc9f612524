"""Rules of a version: immutable, told apart by the digest of its files. No I/O."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Any

from libs.contracts.base import Event
from libs.contracts.registry import (
    FileRecord,
    PublishVersion,
    Remote,
    Version,
    VersionPublished,
    VersionSummary,
)
from libs.errors import Conflict, NotFound, Unavailable
from libs.permissions import Visible
from services.registry.apps.domain import KnownApp, with_version

# Rebuilt at the same path every file is the same but this one, so it says nothing of sameness.
TYPES_ARCHIVE = "@mf-types.zip"


class VersionExists(Conflict):
    """The version was published with other bytes. Versions never change."""


class VersionNotFound(NotFound):
    """No such version."""


class UploadMissing(Unavailable):
    """The uploaded archive is not there any more; upload it again."""


class StoredVersion(Version):
    """A version with its place among its application's versions, in order of publication."""

    ordinal: int


def shown(version: StoredVersion, live_at: Visible) -> Version:
    """As a reader may see it: live where what is live may be seen."""
    return Version.model_validate(version.model_dump() | {"live_in": _live_in(version, live_at)})


def summary(version: StoredVersion, live_at: Visible) -> VersionSummary:
    return VersionSummary.model_validate(version.model_dump() | {"live_in": _live_in(version, live_at)})


def _live_in(version: StoredVersion, live_at: Visible) -> tuple[str, ...]:
    return tuple(slug for slug in version.live_in if live_at.shows_in(slug, version.app))


def record(path: str, content: bytes) -> FileRecord:
    integrity = base64.b64encode(hashlib.sha384(content).digest()).decode()
    return FileRecord(
        path=path,
        size=len(content),
        integrity=f"sha384-{integrity}",
        digest=hashlib.sha256(content).hexdigest(),
    )


def digest_of(files: tuple[FileRecord, ...]) -> str:
    """One digest for the whole build: SHA-256 over its sorted paths and digests."""
    whole = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        if file.path != TYPES_ARCHIVE:
            whole.update(f"{file.path}\0{file.digest}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def publish(
    app: KnownApp,
    existing: StoredVersion | None,
    command: PublishVersion,
    files: tuple[FileRecord, ...],
    manifest: dict[str, Any],
    remote: Remote,
    by: str,
    now: datetime,
) -> tuple[KnownApp, StoredVersion, list[Event]]:
    """The same bytes again change nothing and give no event; other bytes are refused."""
    digest = digest_of(files)
    if existing:
        if existing.digest != digest:
            raise VersionExists(f"{command.app} {command.version} was published with other bytes")
        return app, existing, []
    version = StoredVersion(
        app=app.slug,
        version=command.version,
        digest=digest,
        state="published",
        size=sum(file.size for file in files),
        published_at=now,
        published_by=by,
        manifest=manifest,
        remote=remote,
        files=files,
        metadata=command.metadata,
        ordinal=app.versions + 1,
        revision=1,
    )
    event = VersionPublished(
        org=command.org, app=app.slug, version=version.version, digest=digest, size=version.size
    )
    return with_version(app, version.version), version, [event]


def placed(version: StoredVersion, environment: str) -> StoredVersion:
    """The version after it went live in an environment; it is there once, however often that is told."""
    live_in = tuple(sorted({*version.live_in, environment}))
    return version.model_copy(update={"live_in": live_in, "revision": version.revision + 1})


def taken_back(version: StoredVersion, environment: str) -> StoredVersion:
    live_in = tuple(slug for slug in version.live_in if slug != environment)
    return version.model_copy(update={"live_in": live_in, "revision": version.revision + 1})


def known(version: StoredVersion | None, name: str) -> StoredVersion:
    if version is None:
        raise VersionNotFound(name)
    return version
