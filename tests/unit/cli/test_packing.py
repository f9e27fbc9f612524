"""A build folder becomes the same bytes wherever and whenever it is packed."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from clients.cli.failures import Usage
from clients.cli.packing import Counted, pack

FILES = {"mf-manifest.json": b"{}", "assets/b.js": b"b", "assets/a.js": b"a" * 5000, "über.js": b"u"}


def a_build(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FILES[name])
    return folder


def test_the_same_files_give_the_same_bytes_whoever_wrote_them_and_when(tmp_path: Path) -> None:
    first = a_build(tmp_path / "first", list(FILES))
    second = a_build(tmp_path / "second", list(reversed(FILES)))
    (second / "mf-manifest.json").chmod(0o755)
    os.utime(second / "assets" / "a.js", (1, 1))
    assert pack(first) == pack(second)


def test_an_archive_holds_the_files_and_nothing_of_this_machine(tmp_path: Path) -> None:
    packed = pack(a_build(tmp_path, list(FILES)))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == sorted(FILES)
        assert {(m.uid, m.gid, m.uname, m.mtime) for m in members} == {(0, 0, "", 0)}
        content = archive.extractfile("assets/a.js")
        assert content is not None
        assert content.read() == FILES["assets/a.js"]


def test_other_bytes_give_another_archive(tmp_path: Path) -> None:
    build = a_build(tmp_path, list(FILES))
    before = pack(build)
    (build / "assets" / "b.js").write_bytes(b"c")
    assert pack(build) != before


@pytest.mark.parametrize("names", [[], ["assets/a.js"]])
def test_a_folder_without_a_manifest_is_no_build(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(Usage, match="mf-manifest"):
        pack(a_build(tmp_path, names))


def test_a_link_is_not_packed(tmp_path: Path) -> None:
    build = a_build(tmp_path, list(FILES))
    (build / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(Usage, match="is a link"):
        pack(build)


def test_a_folder_that_is_not_there_is_a_matter_of_usage(tmp_path: Path) -> None:
    with pytest.raises(Usage):
        pack(tmp_path / "nowhere")


def test_an_upload_tells_how_far_it_was_read_and_starts_over_when_it_is_repeated() -> None:
    told: list[int] = []
    counted = Counted(b"x" * 10, told.append)
    counted.read(4)
    counted.read(100)
    counted.seek(0)
    assert told == [4, 10, 0]
