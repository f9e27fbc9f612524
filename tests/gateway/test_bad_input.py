"""Bad input gets a clear no in one form and changes nothing (G9); a request repeated has one effect (G3)."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from deploy.local import LocalPortal
from gateway.routes.live import MAX_MALFORMED, POLICY
from tests.portal import Person, a_build, a_slug, a_tar, a_zip, somebody

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
async def owner(portal: LocalPortal) -> AsyncIterator[Person]:
    person = await somebody(portal.url)
    await person.make_org()
    yield person
    await person.http.aclose()


@pytest.fixture(scope="module")
async def app(owner: Person) -> str:
    """An application's address, with one version in it."""
    (org,) = owner.orgs
    slug = await owner.make_app(org)
    await owner.publish(org, slug, "1.0.0")
    return f"/v1/orgs/{org}/apps/{slug}"


def problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """An answer in the one form that refusals have."""
    assert answer.status_code == status, answer.text[:600]
    assert answer.headers["content-type"] == PROBLEM
    assert len(answer.headers["mes-trace"]) == 32
    found: dict[str, Any] = answer.json()
    assert found["trace_id"] == answer.headers["mes-trace"]
    assert found["status"] == status
    assert code is None or found["code"] == code, found
    return found


# Bodies.
@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large_is_refused(owner: Person, declared: bool) -> None:
    body = json.dumps({"slug": a_slug(), "name": "x" * 1_500_000}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    answer = await owner.http.post(
        "/v1/orgs",
        content=body if declared else pieces(),
        headers={"content-type": "application/json"},
    )
    problem(answer, 413, "body_too_large")


async def test_an_upload_may_be_larger_than_a_body_but_not_endless(
    portal: LocalPortal, owner: Person, app: str
) -> None:
    upload = a_tar(a_build(version="3.0.0", extra={"large.bin": secrets.token_bytes(2_000_000)}))
    await owner.call(
        "POST", f"{app}/versions", 201, files={"file": ("b.tar.gz", upload)}, data={"version": "3.0.0"}
    )
    # Only declared: the refusal comes before any of it is read.
    address = httpx.URL(portal.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        f"POST {app}/versions HTTP/1.1\r\nHost: {address.host}\r\nContent-Length: {10**9}\r\n"
        f"Authorization: Bearer {owner.token}\r\n\r\n".encode()
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "content",
    [b"{", b"slug=a", b"\xff\xfe", b'{"slug":"\xff"}', b"[" * 100_000, b"", b"[]", b'"text"', b"null", b"1"],
    ids=["cut", "form", "utf16", "no utf8", "deep", "empty", "list", "text", "null", "number"],
)
async def test_what_is_no_json_object_is_refused(owner: Person, content: bytes) -> None:
    answer = await owner.http.post("/v1/orgs", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    found = problem(answer, answer.status_code)
    assert found["code"] in ("not_json", "invalid_body")


async def test_json_under_another_content_type_is_refused(owner: Person) -> None:
    answer = await owner.http.post(
        "/v1/orgs", content=b'{"slug":"abc","name":"A"}', headers={"content-type": "text/plain"}
    )
    problem(answer, 400, "not_json")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slug": "fine", "name": "Fine", "sulg": 1}, "sulg"),
        ({"slug": "fine"}, "name"),
        ({"slug": 1, "name": "Fine"}, "slug"),
        ({"slug": ["fine"], "name": "Fine"}, "slug"),
        ({"slug": None, "name": "Fine"}, "slug"),
        ({"slug": "Not Fine", "name": "Fine"}, "slug"),
        ({"slug": "-fine", "name": "Fine"}, "slug"),
        ({"slug": "fine\n", "name": "Fine"}, "slug"),
        ({"slug": "f" * 41, "name": "Fine"}, "slug"),
        ({"slug": "fine", "name": " "}, "name"),
        ({"slug": "fine", "name": "f" * 121}, "name"),
        ({"slug": "fine", "name": {"$ne": ""}}, "name"),
        ({"slug": "fine", "name": "\ud800"}, "name"),
    ],
)
async def test_a_field_that_does_not_fit_is_named(owner: Person, body: dict[str, Any], field: str) -> None:
    answer = await owner.http.post(
        "/v1/orgs", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    found = problem(answer, 422, "invalid_body")
    assert field in [error["field"] for error in found["errors"]]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/orgs/nobody-has-this", 404, "organization_not_found"),
        ("/v1/orgs/No%20Slug", 404, "organization_not_found"),
        ("/v1/orgs/_platform", 404, "organization_not_found"),
        ("{org}/apps/none-such", 404, "app_not_found"),
        ("{org}/apps/No%20Slug", 422, "invalid_body"),
        ("{org}/apps/%00", 422, "invalid_body"),
        ("{app}/versions/9.9.9", 404, "version_not_found"),
        ("{app}/versions/one", 422, "invalid_body"),
        ("{app}/versions/1.0.0%0A", 422, "invalid_body"),
        ("{org}/environments/nowhere", 404, "environment_not_found"),
        ("{org}/environments/nowhere/rollouts", 404, "environment_not_found"),
        ("{org}/environments/nowhere/apps", 404, "environment_not_found"),
        ("{org}/rollouts/none", 404, "rollout_not_found"),
        ("{org}/rollouts/%24ne", 404, "rollout_not_found"),
        ("{org}/apps?limit=0", 422, "invalid_body"),
        ("{org}/apps?limit=201", 422, "invalid_body"),
        ("{org}/apps?limit=many", 422, "invalid_body"),
        ("{org}/members?limit=-1", 422, "invalid_body"),
        ("{org}/audit/events?since=yesterday", 422, "invalid_body"),
        ("{org}/audit/events?since=0001-01-01T00:00:00%2B23:59", 422, "invalid_body"),
        ("{org}/audit/events?until=9999-12-31T23:59:59-23:59", 422, "invalid_body"),
        ("{org}/audit/events?outcome=perhaps", 422, "invalid_body"),
        ("/v1/nothing/here", 404, "route_not_found"),
    ],
)
async def test_a_value_in_the_address_that_does_not_fit_is_refused(
    owner: Person, app: str, path: str, status: int, code: str
) -> None:
    answer = await owner.http.get(path.format(org=app.split("/apps/")[0], app=app))
    problem(answer, status, code)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_another_method_is_refused(owner: Person, method: str) -> None:
    answer = await owner.http.request(method, "/v1/orgs")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("path", "cursor", "status"),
    [
        ("{app}/versions", "abc", 400),
        ("{app}/versions", "-1", 400),
        ("{app}/versions", "\u00b2", 400),
        ("{app}/versions", "9" * 40, 400),
        ("{org}/audit/events", "abc", 400),
        ("{org}/audit/events", "YmVmb3JlIC0x", 400),
        ("{org}/apps", "x" * 600, 422),
        ("{org}/environments/production/rollouts", "x" * 600, 422),
    ],
)
async def test_a_cursor_that_no_list_gave_out_is_refused(
    owner: Person, app: str, path: str, cursor: str, status: int
) -> None:
    address = path.format(org=app.split("/apps/")[0], app=app)
    answer = await owner.http.get(address, params={"cursor": cursor})
    problem(answer, status, "cursor_unknown" if status == 400 else "invalid_body")


# Uploads.
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


# Once.
def new_app(slug: str) -> dict[str, Any]:
    return {"slug": slug, "name": slug, "kind": "remote"}


async def test_a_key_that_belongs_to_another_request_is_refused(owner: Person) -> None:
    (org,), key = owner.orgs, {"idempotency-key": secrets.token_hex(8)}
    slug, other = a_slug("app"), a_slug("app")
    await owner.call("POST", f"/v1/orgs/{org}/apps", 201, json=new_app(slug), headers=key)
    answer = await owner.http.post(f"/v1/orgs/{org}/apps", json=new_app(other), headers=key)
    problem(answer, 422, "idempotency_key_reused")
    answer = await owner.http.patch(f"/v1/orgs/{org}/apps/{slug}", json={"name": "New"}, headers=key)
    problem(answer, 422, "idempotency_key_reused")
    problem(await owner.http.get(f"/v1/orgs/{org}/apps/{other}"), 404, "app_not_found")


async def test_the_same_key_gives_the_same_answer_through_any_gateway(
    portal: LocalPortal, owner: Person
) -> None:
    (org,), key = owner.orgs, {"idempotency-key": secrets.token_hex(8)}
    body = new_app(a_slug("app"))
    answers = [
        await owner.call("POST", f"{gateway}/v1/orgs/{org}/apps", 201, json=body, headers=key)
        for gateway in (*portal.gateways, *portal.gateways)
    ]
    assert len({answer.text for answer in answers}) == 1
    assert len({answer.headers["mes-version"] for answer in answers}) == 1


async def test_the_same_key_at_the_same_time_has_one_effect(portal: LocalPortal, owner: Person) -> None:
    (org,) = owner.orgs
    for _ in range(5):
        key, body = {"idempotency-key": secrets.token_hex(8)}, new_app(a_slug("app"))
        answers = await asyncio.gather(
            *(
                owner.http.post(f"{gateway}/v1/orgs/{org}/apps", json=body, headers=key)
                for gateway in portal.gateways * 4
            )
        )
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        seen = (await owner.call("GET", f"/v1/orgs/{org}/apps/{body['slug']}", 200)).json()
        assert seen["revision"] == 1


async def test_a_refusal_is_the_same_when_it_is_asked_again(portal: LocalPortal, owner: Person) -> None:
    (org,), key = owner.orgs, {"idempotency-key": secrets.token_hex(8)}
    body = new_app(await owner.make_app(org))
    answers = [
        problem(
            await owner.http.post(f"{gateway}/v1/orgs/{org}/apps", json=body, headers=key), 409, "app_exists"
        )
        for gateway in portal.gateways
    ]
    assert answers[0]["detail"] == answers[1]["detail"]


async def test_a_key_is_its_owners_alone(portal: LocalPortal, owner: Person) -> None:
    key = {"idempotency-key": secrets.token_hex(8)}
    other = await somebody(portal.url)
    for person in (owner, other):
        slug = a_slug("org")
        made = await person.call("POST", "/v1/orgs", 201, json={"slug": slug, "name": slug}, headers=key)
        assert made.json()["slug"] == slug
    await other.http.aclose()


@pytest.mark.parametrize("key", ["", "x" * 201, "\u00e9", "a\tb"])
async def test_a_key_that_is_none_is_refused(owner: Person, key: str) -> None:
    headers = [(b"idempotency-key", key.encode())]
    answer = await owner.http.post("/v1/orgs", json={"slug": a_slug(), "name": "A"}, headers=headers)
    problem(answer, 422, "idempotency_key_invalid")


# Versions of what is read.
@pytest.mark.parametrize(
    "header",
    ['"nonsense"', "r1", '"r"', '"r-1"', '"r\u00b2"', '"r' + "9" * 5000 + '"', 'W/"r1"', '"r1", "r2"', '""'],
)
async def test_an_if_match_that_names_no_revision_is_refused(owner: Person, app: str, header: str) -> None:
    before = (await owner.call("GET", app, 200)).json()
    answer = await owner.http.patch(
        app, json={"name": "Changed"}, headers=[(b"if-match", header.encode("latin-1"))]
    )
    problem(answer, 412, "malformed_if_match")
    assert (await owner.call("GET", app, 200)).json() == before


async def test_a_stale_if_match_is_refused_and_the_newest_is_taken(owner: Person, app: str) -> None:
    org = app.split("/apps/")[0]
    for address in (app, f"{org}/environments/staging", org):
        read = await owner.call("GET", address, 200)
        changed = await owner.call(
            "PATCH", address, 200, json={"name": "First"}, headers={"if-match": read.headers["etag"]}
        )
        assert changed.headers["etag"] != read.headers["etag"]
        late = await owner.http.patch(
            address, json={"name": "Second"}, headers={"if-match": read.headers["etag"]}
        )
        problem(late, 412, "stale_revision")
        seen = await owner.call("GET", address, 200)
        assert seen.json()["name"] == "First"
        assert seen.headers["etag"] == changed.headers["etag"]


@pytest.mark.parametrize(
    "after", ["nonsense", "registry/org", "registry/org=", "registry/org=-1", "elsewhere/org=1", "a=1", ","]
)
async def test_a_version_that_was_never_given_out_is_refused(owner: Person, app: str, after: str) -> None:
    problem(await owner.http.get(app, headers={"mes-after": after}), 400, "malformed_version")


async def test_a_version_that_is_not_there_yet_is_not_answered_with_less(owner: Person, app: str) -> None:
    """Of rights, which a gateway knows from events: an owner itself always reads its newest."""
    wrote = await owner.call("PATCH", app.split("/apps/")[0], 200, json={"name": "Newer"})
    service, _, sequence = wrote.headers["mes-version"].rpartition("=")
    answer = await owner.http.get(app, headers={"mes-after": f"{service}={int(sequence) + 1000}"})
    problem(answer, 503, "not_caught_up")
    assert answer.headers["retry-after"]


async def test_what_was_written_through_one_gateway_is_read_through_the_other(
    portal: LocalPortal, owner: Person
) -> None:
    (org,) = owner.orgs
    writing, reading = portal.gateways
    slug = await owner.make_app(org)
    for turn in range(50):
        name = f"name {turn}"
        wrote = await owner.call("PATCH", f"{writing}/v1/orgs/{org}/apps/{slug}", 200, json={"name": name})
        after = {"mes-after": wrote.headers["mes-version"]}
        read = await owner.call("GET", f"{reading}/v1/orgs/{org}/apps/{slug}", 200, headers=after)
        assert read.json()["name"] == name
        listed = await owner.call("GET", f"{reading}/v1/orgs/{org}/apps?limit=200", 200, headers=after)
        assert name in [item["name"] for item in listed.json()["items"]]
        writing, reading = reading, writing


async def test_a_new_organization_is_there_through_the_other_gateway(
    portal: LocalPortal, owner: Person
) -> None:
    for turn in range(10):
        writing, reading = portal.gateways[turn % 2], portal.gateways[(turn + 1) % 2]
        slug = a_slug("org")
        made = await owner.call("POST", f"{writing}/v1/orgs", 201, json={"slug": slug, "name": slug})
        after = {"mes-after": made.headers["mes-version"]}
        await owner.call("GET", f"{reading}/v1/orgs/{slug}", 200, headers=after)
        listed = await owner.call("GET", f"{reading}/v1/orgs", 200, headers=after)
        assert slug in [item["slug"] for item in listed.json()["items"]]


# Assets.
@pytest.mark.parametrize(
    ("wanted", "status", "span"),
    [
        ("bytes=0-3", 206, slice(0, 4)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=-4", 206, slice(-4, None)),
        ("bytes=0-9999", 206, slice(None)),
        ("bytes=9999-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=a-b", 200, slice(None)),
        ("bytes=\u00b2-", 200, slice(None)),
        ("bytes=" + "9" * 5000 + "-", 200, slice(None)),
        ("bytes=0-1,3-4", 200, slice(None)),
        ("lines=0-1", 200, slice(None)),
        ("nonsense", 200, slice(None)),
    ],
)
async def test_a_range_is_served_or_clearly_not(
    portal: LocalPortal, app: str, wanted: str, status: int, span: slice | None
) -> None:
    content = a_build(version="1.0.0")["page.js"]
    address = app.replace("/v1/orgs/", "/assets/").replace("/apps/", "/")
    async with httpx.AsyncClient(base_url=portal.url) as http:
        answer = await http.get(
            f"{address}/1.0.0/page.js",
            headers=[(b"range", wanted.encode("latin-1")), (b"accept-encoding", b"identity")],
        )
    assert answer.status_code == status, answer.text
    assert answer.headers["mes-trace"]
    if span is None:
        problem(answer, 416, "range_not_satisfiable")
    else:
        assert answer.content == content[span]
        assert (status == 206) == ("content-range" in answer.headers)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("{org}/{app}/1.0.0/none.js", "file_not_found"),
        ("{org}/{app}/1.0.0/", "file_not_found"),
        ("{org}/{app}/1.0.0/%2e%2e/%2e%2e/etc/passwd", "file_not_found"),
        ("{org}/{app}/1.0.0/page.js%00", "file_not_found"),
        ("{org}/{app}/9.9.9/page.js", "version_not_found"),
        ("{org}/none/1.0.0/page.js", "version_not_found"),
        ("nobody/none/1.0.0/page.js", "organization_not_found"),
    ],
)
async def test_an_asset_that_is_not_there_is_a_problem_too(
    portal: LocalPortal, app: str, path: str, code: str
) -> None:
    org, slug = app.removeprefix("/v1/orgs/").split("/apps/")
    async with httpx.AsyncClient(base_url=portal.url) as http:
        problem(await http.get("/assets/" + path.format(org=org, app=slug)), 404, code)


async def test_a_browser_of_another_origin_reads_the_answer(portal: LocalPortal) -> None:
    """Browsers refuse an answer that says twice who may read it."""
    async with httpx.AsyncClient(base_url=portal.url) as http:
        for path in ("/livez", "/v1/me", "/nothing"):
            answer = await http.get(path, headers={"origin": "https://shell.example"})
            assert answer.headers.get_list("access-control-allow-origin") == ["*"]
        preflight = await http.options(
            "/v1/orgs",
            headers={"origin": "https://shell.example", "access-control-request-method": "POST"},
        )
        assert preflight.status_code == 200
        assert preflight.headers.get_list("access-control-allow-origin") == ["*"]


# The live socket.
async def said(socket: ClientConnection) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = json.loads(await socket.recv())
        if found["type"] != "ping":
            return found


async def connected(socket: ClientConnection, person: Person) -> None:
    await socket.send(json.dumps({"type": "connect", "token": person.token}))
    assert (await said(socket))["type"] == "connected"


NONSENSE: list[str | bytes] = [
    "nonsense",
    "[]",
    "null",
    "1",
    "",
    "[" * 5000,
    "{}",
    '{"type":"nonsense"}',
    '{"type":["subscribe"]}',
    '{"type":"connect"}',
    '{"type":"subscribe"}',
    '{"type":"subscribe","id":"a","query":"registry.list_apps","args":[]}',
    b"\x00\x01",
    b'{"type":"pong"}',
]


@pytest.mark.parametrize("frame", NONSENSE)
async def test_a_malformed_frame_is_answered_and_the_socket_stays_usable(
    portal: LocalPortal, owner: Person, frame: str | bytes
) -> None:
    async with connect(portal.url.replace("http", "ws") + "/v1/live") as socket:
        await connected(socket, owner)
        await socket.send(frame)
        refused = await said(socket)
        assert refused["type"] == "error"
        assert refused["error"]["code"] == "malformed_frame"
        assert refused["error"]["status"] == 400
        await socket.send('{"type":"subscribe","id":"me","query":"identity.get_me","args":{}}')
        assert (await said(socket))["set"][0]["value"]["id"] == owner.id


@pytest.mark.parametrize(
    ("query", "args", "code"),
    [
        ("registry.nothing", {}, "unknown_query"),
        ("", {}, "unknown_query"),
        ("registry.create_app", {"slug": "a", "name": "A", "kind": "host"}, "unknown_query"),
        ("identity.list_directory", {}, "unknown_query"),
        ("identity.get_keys", {}, "unknown_query"),
        ("registry.get_files", {}, "unknown_query"),
        ("registry.read_events", {}, "unknown_query"),
        ("registry.list_apps", {"limit": 0}, "malformed_message"),
        ("registry.list_apps", {"limit": "many"}, "malformed_message"),
        ("registry.list_apps", {"unknown": 1}, "malformed_message"),
        ("registry.get_app", {}, "malformed_message"),
        ("registry.get_app", {"app": {"$ne": ""}}, "malformed_message"),
        ("registry.get_app", {"app": "none-such"}, "app_not_found"),
        ("registry.list_versions", {"app": "none-such"}, "app_not_found"),
    ],
)
async def test_a_query_that_cannot_be_asked_is_refused_under_its_id(
    portal: LocalPortal, owner: Person, query: str, args: dict[str, Any], code: str
) -> None:
    args = {"org": owner.orgs[0], **args}
    async with connect(portal.url.replace("http", "ws") + "/v1/live") as socket:
        await connected(socket, owner)
        await socket.send(json.dumps({"type": "subscribe", "id": "q", "query": query, "args": args}))
        (item,) = (await said(socket))["set"]
        assert item["id"] == "q"
        assert item["error"]["code"] == code
        await socket.send('{"type":"subscribe","id":"me","query":"identity.get_me","args":{}}')
        assert (await said(socket))["set"][0]["value"]["id"] == owner.id


async def test_nonsense_again_and_again_ends_the_connection(portal: LocalPortal, owner: Person) -> None:
    async with connect(portal.url.replace("http", "ws") + "/v1/live") as socket:
        await connected(socket, owner)
        for _ in range(MAX_MALFORMED):
            await socket.send("nonsense")
            assert (await said(socket))["type"] == "error"
        with pytest.raises(ConnectionClosed) as closed:
            await said(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == POLICY


@pytest.mark.parametrize("first", ["nonsense", '{"type":"subscribe"}', b"\x00", "[]"])
async def test_a_connection_that_begins_with_something_else_is_ended(
    portal: LocalPortal, first: str | bytes
) -> None:
    async with connect(portal.url.replace("http", "ws") + "/v1/live") as socket:
        await socket.send(first)
        assert (await said(socket))["error"]["code"] == "malformed_frame"
        with pytest.raises(ConnectionClosed) as closed:
            await said(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == POLICY


async def test_too_many_subscriptions_are_refused_one_by_one(portal: LocalPortal, owner: Person) -> None:
    async with connect(portal.url.replace("http", "ws") + "/v1/live") as socket:
        await connected(socket, owner)
        for number in range(201):
            await socket.send(
                json.dumps({"type": "subscribe", "id": f"{number}", "query": "identity.get_me", "args": {}})
            )
        seen: dict[str, dict[str, Any]] = {}
        while len(seen) < 201:
            seen |= {item["id"]: item for item in (await said(socket))["set"]}
    assert seen["200"]["error"]["status"] == 429
    assert sum("value" in item for item in seen.values()) == 200
