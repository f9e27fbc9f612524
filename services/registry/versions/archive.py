"""Opening an uploaded build: bytes in, files out, within limits. No I/O, nothing is written to a disk."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from libs.errors import Invalid, TooLarge

MAX_FILES = 2_000
MAX_BYTES = 200 * 1024 * 1024
# A build compresses well, but not like zeroes. Judged beyond a size that can hurt.
MAX_RATIO = 100
RATIO_FROM_BYTES = 4 * 1024 * 1024
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
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        OSError,
        zlib.error,
        NotImplementedError,
    ) as error:
        raise NotAnArchive(f"neither a .tar.gz nor a .zip: {type(error).__name__}") from error
    except RuntimeError as error:  # zipfile says so of an encrypted member
        raise NotAnArchive(str(error)) from error
    return _without_top_folder(files)


def _zip(archive: bytes, budget: int) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for member in opened.infolist():
            if member.is_dir():
                continue
            if (member.external_attr >> 16) & 0o170000 not in (0, 0o100000):
                raise UnsafeArchive(f"{member.filename} is not a file")
            with opened.open(member) as stream:
                content = _read(stream, budget)
            budget -= len(content)
            yield member.filename, content


def _tar(archive: bytes, budget: int) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r|gz") as opened:
        for member in opened:
            if member.isdir():
                continue
            if not member.isreg():
                raise UnsafeArchive(f"{member.name} is not a file")
            if member.size > budget:
                raise ArchiveTooLarge("too many bytes, or far more than the archive's size suggests")
            stream = opened.extractfile(member)
            assert stream is not None
            content = _read(stream, budget)
            budget -= len(content)
            yield member.name, content


def _read(stream: object, budget: int) -> bytes:
    content: bytes = stream.read(budget + 1)  # type: ignore[attr-defined]  # both kinds of stream have it
    if len(content) > budget:
        raise ArchiveTooLarge("too many bytes, or far more than the archive's size suggests")
    return content


def _safe(name: str) -> str:
    if "\\" in name or "\0" in name or name.startswith("/") or len(name) > 512:
        raise UnsafeArchive(f"{name!r} is not a relative path")
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
