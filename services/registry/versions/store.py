"""Every query on versions, and their bytes' way into the object store."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import brotli

from libs.contracts.base import Event
from libs.contracts.registry import FileRecord, PublishedVersion
from libs.objects import BLOBS, UPLOADS, Objects
from libs.permissions import visible_part
from libs.service.request import Request
from libs.store.database import Documents, Index, Scope
from services.registry.apps.domain import KnownApp
from services.registry.apps.store import APPS
from services.registry.versions.domain import StoredVersion, shown

VERSIONS = Documents(
    "versions",
    StoredVersion,
    key=lambda version: f"{version.app}/{version.version}",
    indexes=[
        Index(("app", "-ordinal")),  # newest versions of an application
    ],
    # Both hold names that somebody else chose.
    opaque=frozenset({"manifest", "metadata"}),
)

# Worth compressing once, so that serving never does.
_TEXT = (".js", ".mjs", ".css", ".json", ".html", ".svg", ".map", ".txt", ".wasm", ".ts")
_WORTH_BYTES = 512
_AT_ONCE = 8


async def version(scope: Scope, app: str, name: str) -> StoredVersion | None:
    return await scope.get(VERSIONS, f"{app}/{name}")


async def page(scope: Scope, app: str, newest: int, limit: int) -> list[StoredVersion]:
    """Newest first from an ordinal down. Bounded by range: the embedded database pays for every match."""
    where: dict[str, Any] = {"app": app, "ordinal": {"$lte": newest, "$gt": newest - limit}}
    return await scope.find(VERSIONS, where, sort="-ordinal")


async def save(
    request: Request, app: KnownApp, version: StoredVersion, events: list[Event]
) -> PublishedVersion:
    """The reply tells where it is live of what its reader may see."""
    live_at = visible_part(request.caller.grants, "rollout:read", request.org)
    published = PublishedVersion(version=shown(version, live_at), created=bool(events))
    if not events:
        return published
    return await request.commit([APPS.put(app), VERSIONS.put(version)], events, reply=published)


async def upload(objects: Objects, digest: str) -> bytes | None:
    return await objects.get(UPLOADS, digest)


async def keep(objects: Objects, files: dict[str, bytes], records: tuple[FileRecord, ...]) -> None:
    """Stores every file under its digest, with its compressed forms. Safe to repeat."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(record: FileRecord) -> None:
        async with gate:
            # The plain form is written last: where it is, the others are.
            if await objects.has(BLOBS, record.digest):
                return
            content = files[record.path]
            if record.path.endswith(_TEXT) and record.size >= _WORTH_BYTES:
                smaller = await asyncio.to_thread(brotli.compress, content, quality=9)
                await objects.put_as(BLOBS, record.digest, smaller, "br")
                zipped = await asyncio.to_thread(gzip.compress, content, 9, mtime=0)
                await objects.put_as(BLOBS, record.digest, zipped, "gzip")
            await objects.put_as(BLOBS, record.digest, content)

    await asyncio.gather(*(one(record) for record in records))
