"""Uploads that are not a sound build, or not the one that was published (G9)."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.gateway.refusals import problem
from tests.portal import Person, a_build, a_tar, a_zip


def with_manifest(change: Callable[[dict[str, Any]], object]) -> dict[str, bytes]:
    files = a_build(version="2.0.0")
    manifest = json.loads(files["mf-manifest.json"])
    change(manifest)
    return files | {"mf-manifest.json": json.dumps(manifest).encode()}


def tar_with(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, data in a_build(version="2.0.0").items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def tar_kind(name: str, kind: bytes, target: str = "") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return tar_with(member)


def zip_with(name: str, mode: int = 0o100644, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, data in a_build(version="2.0.0").items():
            archive.writestr(path, data)
        member = zipfile.ZipInfo("placeholder")
        # Set afterwards: the constructor tidies names up, attackers do not.
        member.filename = name
        member.external_attr = mode << 16
        member.compress_type = method
        archive.writestr(member, b"x")
    return packed.getvalue()


def a_bomb(megabytes: int) -> dict[str, bytes]:
    return a_build(version="2.0.0", extra={"zeroes.bin": bytes(megabytes * 1024 * 1024)})


def without(name: str) -> dict[str, bytes]:
    files = a_build(version="2.0.0")
    del files[name]
    return files


def encrypted() -> bytes:
    """The flag alone: nobody gets as far as the bytes."""
    packed = bytearray(a_zip(a_build(version="2.0.0")))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = packed.find(signature)
        while at >= 0:
            packed[at + offset] |= 1
            at = packed.find(signature, at + 1)
    return bytes(packed)


UPLOADS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "not_an_archive"),
    "text": (lambda: b"hello", "not_an_archive"),
    "a cut tar": (lambda: a_tar(a_build())[:120], "not_an_archive"),
    "a cut zip": (lambda: a_zip(a_build())[:120], "not_an_archive"),
    "a plain tar": (lambda: b"x" * 1024, "not_an_archive"),
    "an encrypted zip": (encrypted, "not_an_archive"),
    "bzip2 within a zip": (lambda: zip_with("x.js", method=zipfile.ZIP_BZIP2), "not_an_archive"),
    "LZMA within a zip": (lambda: zip_with("x.js", method=zipfile.ZIP_LZMA), "not_an_archive"),
    "tar climbs": (lambda: tar_with(tarfile.TarInfo("../x.js"), b"x"), "unsafe_archive"),
    "tar climbs inside": (lambda: tar_with(tarfile.TarInfo("a/../../x.js"), b"x"), "unsafe_archive"),
    "tar absolute": (lambda: tar_with(tarfile.TarInfo("/etc/x.js"), b"x"), "unsafe_archive"),
    "tar backslash": (lambda: tar_with(tarfile.TarInfo("..\\x.js"), b"x"), "unsafe_archive"),
    "tar symlink": (lambda: tar_kind("x.js", tarfile.SYMTYPE, "/etc/passwd"), "unsafe_archive"),
    "tar hard link": (lambda: tar_kind("x.js", tarfile.LNKTYPE, "page.js"), "unsafe_archive"),
    "tar device": (lambda: tar_kind("x.js", tarfile.CHRTYPE), "unsafe_archive"),
    "tar pipe": (lambda: tar_kind("x.js", tarfile.FIFOTYPE), "unsafe_archive"),
    "tar name no utf8": (lambda: tar_with(tarfile.TarInfo("\udcff.js"), b"x"), "unsafe_archive"),
    "tar name twice": (lambda: tar_with(tarfile.TarInfo("./page.js"), b"other"), "unsafe_archive"),
    "zip climbs": (lambda: zip_with("../x.js"), "unsafe_archive"),
    "zip absolute": (lambda: zip_with("/x.js"), "unsafe_archive"),
    "zip backslash": (lambda: zip_with("a\\..\\x.js"), "unsafe_archive"),
    "zip symlink": (lambda: zip_with("x.js", 0o120777), "unsafe_archive"),
    "zip device": (lambda: zip_with("x.js", 0o020644), "unsafe_archive"),
    "tar bomb": (lambda: a_tar(a_bomb(16)), "archive_too_large"),
    "zip bomb": (lambda: a_zip(a_bomb(16)), "archive_too_large"),
    "too many files": (
        lambda: a_tar(a_build(extra={f"f{number}": b"" for number in range(2_001)})),
        "archive_too_large",
    ),
    "too many files in a zip": (
        lambda: a_zip(a_build(extra={f"f{number}": b"" for number in range(2_001)})),
        "archive_too_large",
    ),
    "no manifest": (lambda: a_tar(without("mf-manifest.json")), "manifest_missing"),
    "no entry": (lambda: a_tar(without("remoteEntry.js")), "files_missing"),
    "no exposed file": (lambda: a_tar(without("page.js")), "files_missing"),
    "manifest no JSON": (lambda: a_tar(a_build() | {"mf-manifest.json": b"{"}), "manifest_invalid"),
    "manifest a list": (lambda: a_tar(a_build() | {"mf-manifest.json": b"[]"}), "manifest_invalid"),
    "manifest without metaData": (
        lambda: a_tar(with_manifest(lambda manifest: manifest.pop("metaData"))),
        "manifest_invalid",
    ),
    "manifest with a number for a name": (
        lambda: a_tar(with_manifest(lambda manifest: manifest.update(name=5))),
        "manifest_invalid",
    ),
    "manifest that runs code": (
        lambda: a_tar(with_manifest(lambda m: m["metaData"].update(getPublicPath="return location.href"))),
        "manifest_invalid",
    ),
    "manifest with a fixed address": (
        lambda: a_tar(with_manifest(lambda m: m["metaData"].update(publicPath="https://elsewhere/"))),
        "manifest_invalid",
    ),
    "manifest nested deep": (
        lambda: a_tar(a_build() | {"mf-manifest.json": b'{"a":' * 500 + b"1" + b"}" * 500}),
        "manifest_invalid",
    ),
}


@pytest.mark.parametrize("kind", UPLOADS)
async def test_an_upload_that_is_not_a_sound_build_is_refused_and_leaves_nothing(
    owner: Person, app: str, kind: str
) -> None:
    make, code = UPLOADS[kind]
    answer = await owner.http.post(
        f"{app}/versions", files={"file": ("build", make())}, data={"version": "2.0.0"}
    )
    problem(answer, 413 if code == "archive_too_large" else 422, code)
    assert len(answer.content) < 20_000
    problem(await owner.http.get(f"{app}/versions/2.0.0"), 404, "version_not_found")


async def test_missing_files_are_named(owner: Person, app: str) -> None:
    files = with_manifest(
        lambda m: m["exposes"][0]["assets"]["js"].update(sync=[f"gone{n}.js" for n in range(500)])
    )
    answer = await owner.http.post(
        f"{app}/versions", files={"file": ("b", a_tar(files))}, data={"version": "2.0.0"}
    )
    found = problem(answer, 422, "files_missing")
    assert found["errors"][0]["path"] == "gone0.js"
    assert "500" in found["detail"]
    assert len(found["errors"]) <= 20


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"version": "one"}, "version"),
        ({"version": "1.0"}, "version"),
        ({"version": "2.0.0", "metadata": "{"}, "metadata"),
        ({"version": "2.0.0", "metadata": "[]"}, "metadata"),
        ({"version": "2.0.0", "metadata": '{"a":' * 300 + "1" + "}" * 300}, "metadata"),
        ({"version": "2.0.0", "metadata": json.dumps({"a": "x" * 9000})}, "metadata"),
        ({}, "version"),
    ],
)
async def test_a_field_of_an_upload_that_does_not_fit_is_named(
    owner: Person, app: str, fields: dict[str, str], field: str
) -> None:
    answer = await owner.http.post(f"{app}/versions", files={"file": ("b", a_tar(a_build()))}, data=fields)
    found = problem(answer, 422, "invalid_body")
    assert [error["field"] for error in found["errors"]] == [field]


async def test_an_upload_without_its_file_is_refused(owner: Person, app: str) -> None:
    problem(await owner.http.post(f"{app}/versions", data={"version": "2.0.0"}), 422, "invalid_body")
    cut = await owner.http.post(
        f"{app}/versions",
        content=b"--b\r\nContent-Disposition: form-data; name=",
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert cut.status_code in (400, 422)
    problem(cut, cut.status_code)


async def test_a_version_is_published_once_and_never_with_other_bytes(owner: Person, app: str) -> None:
    (org,), slug = owner.orgs, app.rsplit("/", 1)[-1]
    first = (await owner.publish(org, slug, "4.0.0")).json()
    again = (await owner.publish(org, slug, "4.0.0", status=200)).json()
    assert again["digest"] == first["digest"]
    packed_otherwise = await owner.call(
        "POST",
        f"{app}/versions",
        200,
        files={"file": ("b.zip", a_zip(a_build(version="4.0.0")))},
        data={"version": "4.0.0"},
    )
    assert packed_otherwise.json()["digest"] == first["digest"]
    other = await owner.publish(
        org, slug, "4.0.0", a_build(version="4.0.0", extra={"more.js": b"1"}), status=409
    )
    problem(other, 409, "version_exists")
    kept = (await owner.call("GET", f"{app}/versions/4.0.0", 200)).json()
    assert kept["digest"] == first["digest"]
    listed = (await owner.call("GET", f"{app}/versions", 200)).json()["items"]
    assert [version["version"] for version in listed].count("4.0.0") == 1
