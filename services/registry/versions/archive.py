"""Opening an uploaded build: bytes in, files out, within limits. No I/O, nothing is written to a disk."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

from libs.errors import Invalid, Refusal, TooLarge

MAX_FILES = 2_000
MAX_BYTES = 200 * 1024 * 1024
# A build compresses well, but not like zeroes. Judged beyond a size that can hurt.
MAX_RATIO = 100
RATIO_FROM_BYTES = 4 * 1024 * 1024
# What a tar adds to each file: its headers, with long names in headers of their own, and padding.
TAR_OVERHEAD = 4096
# Others expand without a bound on what one read returns; nobody packs a web build with them.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_ENTRY = b"PK\x01\x02"
MANIFEST = "mf-manifest.json"


class NotAnArchive(Invalid):
    """The upload is neither a .tar.gz nor a .zip, or it is cut off."""


class UnsafeArchive(Invalid):
    """The archive holds a link, a device, or a path that leads out of its folder."""


class ArchiveTooLarge(TooLarge):
    """Unpacked, the archive has too many files or bytes."""


def unpack(archive: bytes) -> dict[str, bytes]:
    """The files by path, relative to the folder that holds the manifest."""
    files: dict[str, bytes] = {}
    budget = MAX_BYTES
    if len(archive) * MAX_RATIO < budget:
        budget = max(len(archive) * MAX_RATIO, RATIO_FROM_BYTES)
    try:
        for name, content in _zip(archive, budget) if archive[:2] == b"PK" else _tar(archive, budget):
            path = _safe(name)
            if path in files:
                raise UnsafeArchive(f"{path} is there twice")
            files[path] = content
            budget -= len(content)
            if len(files) > MAX_FILES:
                raise ArchiveTooLarge(f"more than {MAX_FILES} files")
    except Refusal:
        raise
    except Exception as error:
        # Whatever the standard library stumbles over, and it has many words for that, lies in the bytes.
        raise NotAnArchive(f"neither a .tar.gz nor a .zip: {type(error).__name__}") from error
    return _without_top_folder(files)


def _zip(archive: bytes, budget: int) -> Iterator[tuple[str, bytes]]:
    # Before the directory is read, as each entry costs more in memory than in the archive.
    if archive.count(_ZIP_ENTRY) > 2 * MAX_FILES:
        raise ArchiveTooLarge(f"more than {MAX_FILES} files")
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for member in opened.infolist():
            if member.is_dir():
                continue
            if (member.external_attr >> 16) & 0o170000 not in (0, 0o100000):
                raise UnsafeArchive(f"{member.filename!r} is not a file")
            if member.compress_type not in METHODS:
                raise NotAnArchive("members of a .zip are stored or deflated")
            if member.flag_bits & 1:
                raise NotAnArchive("the .zip is encrypted")
            with opened.open(member) as stream:
                content = _read(stream, budget)
            budget -= len(content)
            yield member.filename, content


def _tar(archive: bytes, budget: int) -> Iterator[tuple[str, bytes]]:
    unpacked = _Bounded(gzip.GzipFile(fileobj=io.BytesIO(archive)), budget + MAX_FILES * TAR_OVERHEAD)
    # The stub asks for more than a stream is: `read` is all that is used.
    with tarfile.open(fileobj=unpacked, mode="r|") as opened:  # type: ignore[call-overload]
        for count, member in enumerate(opened, 1):
            if count > 2 * MAX_FILES:
                raise ArchiveTooLarge(f"more than {MAX_FILES} files")
            if member.isdir():
                continue
            if not member.isreg():
                raise UnsafeArchive(f"{member.name!r} is not a file")
            if member.size > budget:
                raise ArchiveTooLarge("too many bytes, or far more than the archive's size suggests")
            stream = opened.extractfile(member)
            assert stream is not None
            content = _read(stream, budget)
            budget -= len(content)
            yield member.name, content


class _Bounded:
    """A stream that refuses to give more than it may. Headers of a tar can claim any size, too."""

    def __init__(self, source: IO[bytes] | gzip.GzipFile, budget: int) -> None:
        self._source = source
        self._left = budget

    def read(self, size: int) -> bytes:
        content = self._source.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise ArchiveTooLarge("too many bytes, or far more than the archive's size suggests")
        return content


def _read(stream: IO[bytes], budget: int) -> bytes:
    content = stream.read(budget + 1)
    if len(content) > budget:
        raise ArchiveTooLarge("too many bytes, or far more than the archive's size suggests")
    return content


def _safe(name: str) -> str:
    if "\\" in name or "\0" in name or name.startswith("/") or len(name) > 512:
        raise UnsafeArchive(f"{name!r} is not a relative path")
    if any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in name):
        # Bytes that are no UTF-8 come as lone surrogates, which no answer could carry.
        raise UnsafeArchive(f"{name!r} holds control characters or is no UTF-8")
    path = PurePosixPath(name)
    if ".." in path.parts or not path.parts:
        raise UnsafeArchive(f"{name!r} leads out of its folder")
    return str(path)


def _without_top_folder(files: dict[str, bytes]) -> dict[str, bytes]:
    """Many tools pack the folder itself; the build is what is inside."""
    if MANIFEST in files:
        return files
    tops = {path.split("/", 1)[0] for path in files}
    if len(tops) == 1 and f"{next(iter(tops))}/{MANIFEST}" in files:
        return {path.split("/", 1)[1]: content for path, content in files.items()}
    return files
