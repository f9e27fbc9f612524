"""A build folder as one archive: the same files give the same bytes, whoever packs them and when."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clients.cli.failures import Usage

MANIFEST = "mf-manifest.json"


def pack(folder: Path) -> bytes:
    """A `.tar.gz` of every file below the folder. No times, owners or modes: they are not the build."""
    files = files_in(folder)
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6, mtime=0, filename="") as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in files:
            content = path.read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def files_in(folder: Path) -> list[tuple[str, Path]]:
    """By name, as the archive has them."""
    if not folder.is_dir():
        raise Usage(f"{folder} is no folder.")
    if not (folder / MANIFEST).is_file():
        raise Usage(
            f"{folder} holds no {MANIFEST}.", "Name the folder that the Module Federation build wrote."
        )
    found = sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*"))
    links = [name for name, path in found if path.is_symlink()]
    if links:
        raise Usage(f"{links[0]} is a link; a version holds files only.")
    return [(name, path) for name, path in found if path.is_file()]


class Counted(io.BytesIO):
    """An upload that tells how far it was read. Read again from the start, it counts from there."""

    def __init__(self, content: bytes, told: Callable[[int], None]) -> None:
        super().__init__(content)
        self._told = told

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self._told(self.tell())
        return chunk

    def seek(self, *args: Any) -> int:
        position = super().seek(*args)
        self._told(position)
        return position
