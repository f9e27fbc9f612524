"""What an upload may hold and how large it may be. Nothing here touches a disk."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.registry.versions import archive
from services.registry.versions.archive import ArchiveTooLarge, NotAnArchive, UnsafeArchive, unpack
from tests.portal import a_tar, a_zip

PACKERS = pytest.mark.parametrize("pack", [a_tar, a_zip])
plain = st.text("abcé.-_", min_size=1, max_size=8).filter(lambda name: set(name) != {"."})
builds = st.dictionaries(plain, st.binary(max_size=64), min_size=1, max_size=6)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limits on a scale that costs nothing."""
    monkeypatch.setattr(archive, "MAX_BYTES", 50_000)
    monkeypatch.setattr(archive, "RATIO_FROM_BYTES", 4_000)
    monkeypatch.setattr(archive, "MAX_FILES", 20)
    monkeypatch.setattr(archive, "TAR_OVERHEAD", 1_024)


@given(builds, st.sampled_from([a_tar, a_zip]))
def test_what_is_packed_comes_out(build: dict[str, bytes], pack: object) -> None:
    assert unpack(pack(build)) == build  # type: ignore[operator]  # one of two functions


@PACKERS
def test_the_folder_itself_may_be_packed(pack: object) -> None:
    build = {"mf-manifest.json": b"{}", "a/b.js": b"1"}
    packed = pack({f"dist/{path}": data for path, data in build.items()})  # type: ignore[operator]
    assert unpack(packed) == build


@PACKERS
@pytest.mark.parametrize(
    "name", ["../a", "a/../../b", "/a", "..", "a\\b", "..\\a", "a\nb", "a\x7fb", "x" * 600, "./../a"]
)
def test_a_name_that_leads_elsewhere_is_refused(pack: object, name: str) -> None:
    with pytest.raises((UnsafeArchive, NotAnArchive)):
        unpack(pack({"mf-manifest.json": b"{}", name: b"1"}))  # type: ignore[operator]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_what_is_no_file_is_refused(kind: bytes) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as opened:
        member = tarfile.TarInfo("a")
        member.type, member.linkname = kind, "b"
        opened.addfile(member)
    with pytest.raises(UnsafeArchive):
        unpack(packed.getvalue())


@PACKERS
def test_the_same_path_twice_is_refused(pack: object) -> None:
    with pytest.raises(UnsafeArchive):
        unpack(pack({"a/b": b"1", "a/./b": b"2"}))  # type: ignore[operator]


@pytest.mark.usefixtures("_small")
@PACKERS
def test_too_many_bytes_are_refused(pack: object) -> None:
    import random

    noise = random.Random(1).randbytes(60_000)  # which no archive makes smaller
    with pytest.raises(ArchiveTooLarge):
        unpack(pack({"a": noise[:30_000], "b": noise[30_000:]}))  # type: ignore[operator]
    assert unpack(pack({"a": noise[:40_000]}))  # type: ignore[operator]


@pytest.mark.usefixtures("_small")
@PACKERS
def test_far_more_than_the_archive_suggests_is_refused(pack: object) -> None:
    with pytest.raises(ArchiveTooLarge):
        unpack(pack({"a": bytes(45_000)}))  # type: ignore[operator]


@pytest.mark.usefixtures("_small")
@PACKERS
def test_too_many_files_are_refused(pack: object) -> None:
    assert len(unpack(pack({f"{n}": b"" for n in range(20)}))) == 20  # type: ignore[operator]
    with pytest.raises(ArchiveTooLarge):
        unpack(pack({f"{n}": b"" for n in range(21)}))  # type: ignore[operator]


@pytest.mark.usefixtures("_small")
def test_folders_without_end_are_refused() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as opened:
        for number in range(41):
            folder = tarfile.TarInfo(f"{number}")
            folder.type = tarfile.DIRTYPE
            opened.addfile(folder)
    with pytest.raises(ArchiveTooLarge):
        unpack(packed.getvalue())


@pytest.mark.usefixtures("_small")
def test_a_header_that_claims_a_name_without_end_is_refused_before_it_is_read() -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 500_000
    packed = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(500_000))
    with pytest.raises(ArchiveTooLarge):
        unpack(packed)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_expand_without_a_bound_are_refused(method: int) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as opened:
        opened.writestr("a", bytes(1000))
    with pytest.raises(NotAnArchive):
        unpack(packed.getvalue())


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08"]))
def test_any_bytes_are_an_archive_or_refused(noise: bytes, magic: bytes) -> None:
    with contextlib.suppress(NotAnArchive, UnsafeArchive, ArchiveTooLarge):
        unpack(magic + noise)


@settings(max_examples=200)
@given(st.sampled_from([a_tar, a_zip]), st.data())
def test_a_damaged_archive_is_read_or_refused_but_never_a_fault(pack: object, data: st.DataObject) -> None:
    packed = bytearray(pack({"mf-manifest.json": b"{}", "é.js": b"abc" * 40}))  # type: ignore[operator]
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(packed)))
    with contextlib.suppress(NotAnArchive, UnsafeArchive, ArchiveTooLarge):
        unpack(bytes(packed[: end or len(packed)]))
