"""The bus edge of versions: publishing, reading, and following where versions are live."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from libs.contracts.base import Event, Page
from libs.contracts.deploy import VersionWentLive
from libs.contracts.envelope import Fact, Stream
from libs.contracts.registry import (
    GetFiles,
    GetVersion,
    ListVersions,
    PublishedVersion,
    PublishVersion,
    Version,
    VersionFiles,
    VersionsPlaced,
    VersionSummary,
)
from libs.errors import CursorUnknown
from libs.objects import UPLOADS, Objects
from libs.service.request import Request
from libs.store.database import Change, Database, Scope
from services.registry.apps import store as apps
from services.registry.apps.domain import known as known_app
from services.registry.versions import archive, domain, manifest, store

logger = logging.getLogger(__name__)
# An upload is published within seconds or never.
UPLOAD_KEPT_S = 3600.0


class Versions:
    """Handlers that need the object store or the database beside their message."""

    def __init__(self, objects: Objects, database: Database) -> None:
        self._objects = objects
        self._database = database

    async def publish_version(self, command: PublishVersion, request: Request) -> PublishedVersion:
        app = known_app(await apps.app(request.scope, command.app), command.app)
        existing = await store.version(request.scope, command.app, command.version)
        upload = await store.upload(self._objects, command.upload)
        if upload is None:
            raise domain.UploadMissing("upload the archive again")
        files = await asyncio.to_thread(archive.unpack, upload)
        content, remote = manifest.read(files, app.kind)
        records = await asyncio.to_thread(
            lambda: tuple(domain.record(p, c) for p, c in sorted(files.items()))
        )
        app, version, events = domain.publish(
            app, existing, command, records, content, remote, request.caller.subject, request.now
        )
        if events:
            # Before the commit: a version that can be read has all its bytes.
            await store.keep(self._objects, files, records)
        return await store.save(request, app, version, events)

    async def follow_rollouts(
        self, stream: Stream, facts: list[Fact]
    ) -> tuple[Sequence[Change], Sequence[Event]]:
        """Marks on each version where it is live now."""
        scope = self._database.tenant(stream.org)
        loaded: dict[str, domain.StoredVersion] = {}
        touched: dict[str, domain.StoredVersion] = {}
        events: list[Event] = []
        for fact in facts:
            if fact.type != VersionWentLive.message:
                continue
            went = VersionWentLive.model_validate(fact.data)
            for name, move in ((went.version, domain.placed), (went.previous, domain.taken_back)):
                if name is None or (name == went.previous and name == went.version):
                    continue
                key = f"{went.app}/{name}"
                if key not in loaded:
                    found = await store.version(scope, went.app, name)
                    if found is None:
                        continue
                    loaded[key] = found
                moved = move(touched.get(key, loaded[key]), went.environment)
                # One write for each version, however many facts of this batch touch it.
                touched[key] = moved.model_copy(update={"revision": loaded[key].revision + 1})
            events.append(
                VersionsPlaced(
                    org=stream.org,
                    app=went.app,
                    environment=went.environment,
                    live=went.version,
                    left=went.previous,
                )
            )
        return [store.VERSIONS.put(version) for version in touched.values()], events

    async def clear_uploads(self) -> None:
        """Removes archives that were published, refused or forgotten."""
        while True:
            await asyncio.sleep(UPLOAD_KEPT_S / 6)
            try:
                async for digest in self._objects.older_than(UPLOADS, UPLOAD_KEPT_S):
                    await self._objects.delete(UPLOADS, digest)
            except Exception:
                logger.exception("uploads were not cleared")


async def get_version(query: GetVersion, scope: Scope) -> Version:
    version = domain.known(await store.version(scope, query.app, query.version), query.version)
    return domain.shown(version, query.live_at)


async def get_files(query: GetFiles, scope: Scope) -> VersionFiles:
    version = domain.known(await store.version(scope, query.app, query.version), query.version)
    return VersionFiles(files=version.files)


async def list_versions(query: ListVersions, scope: Scope) -> Page[VersionSummary]:
    app = known_app(await apps.app(scope, query.app), query.app)
    newest = min(_ordinal(query.cursor), app.versions) if query.cursor else app.versions
    found = await store.page(scope, query.app, newest, query.limit)
    items = tuple(domain.summary(version, query.live_at) for version in found)
    below = newest - query.limit
    return Page[VersionSummary](items=items, next=str(below) if below > 0 else None)


def _ordinal(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18):
        raise CursorUnknown(cursor[:80])
    return int(cursor)
