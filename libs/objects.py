"""Bytes under their digest, in a folder or a bucket, through obstore. No rules of versions here."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlparse

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

# An uploaded archive waits here until its version is published or refused.
UPLOADS = "uploads"
BLOBS = "blobs"
# Stored beside a blob where it is worth it, so that nothing is compressed while serving. Best first.
ENCODINGS = ("br", "gzip")


class Objects:
    """Content-addressed: writing the same bytes twice is harmless, and nothing is ever changed."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def at(cls, url: str) -> Objects:
        """`file:///folder`, `s3://bucket/prefix`, `gs://…` or `az://…`."""
        parsed = urlparse(url)
        if parsed.scheme == "file":
            Path(parsed.path).mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(parsed.path))
        return cls(from_url(url))

    async def put(self, area: str, data: bytes, suffix: str = "") -> str:
        """Stores bytes; answers their SHA-256 in hex."""
        digest = hashlib.sha256(data).hexdigest()
        await self.put_as(area, digest, data, suffix)
        return digest

    async def put_as(self, area: str, digest: str, data: bytes, suffix: str = "") -> None:
        await obstore.put_async(self._store, _key(area, digest, suffix), data)

    async def get(self, area: str, digest: str, suffix: str = "") -> bytes | None:
        try:
            result = await obstore.get_async(self._store, _key(area, digest, suffix))
            return bytes(await result.bytes_async())
        except (NotFoundError, FileNotFoundError):
            return None

    async def has(self, area: str, digest: str, suffix: str = "") -> bool:
        try:
            await obstore.head_async(self._store, _key(area, digest, suffix))
        except (NotFoundError, FileNotFoundError):
            return False
        return True

    async def delete(self, area: str, digest: str) -> None:
        try:
            await obstore.delete_async(self._store, _key(area, digest, ""))
        except (NotFoundError, FileNotFoundError):
            return

    async def older_than(self, area: str, seconds: float) -> AsyncIterator[str]:
        """Digests that were stored longer ago than that."""
        limit = datetime.now(UTC) - timedelta(seconds=seconds)
        async for batch in obstore.list(self._store, prefix=area):
            for meta in batch:
                if meta["last_modified"] < limit:
                    yield str(meta["path"]).rsplit("/", 1)[-1]


def _key(area: str, digest: str, suffix: str) -> str:
    return f"{area}/{digest[:2]}/{digest}{'.' + suffix if suffix else ''}"
