"""What a manifest must hold."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.registry import MAX_DEPTH, is_shallow
from services.registry.versions import manifest
from services.registry.versions.manifest import FilesMissing, ManifestInvalid, ManifestMissing
from tests.domain.registry.builders import a_build, a_manifest

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_a_shell_is_told_what_it_needs() -> None:
    content, remote = manifest.read(a_build(), "remote")
    assert content == a_manifest()
    assert (remote.name, remote.entry, remote.type, remote.exposes) == (
        "orders",
        "remoteEntry.js",
        "global",
        ("./Page",),
    )


def test_a_build_without_a_manifest_is_refused() -> None:
    with pytest.raises(ManifestMissing):
        manifest.read({"remoteEntry.js": b""}, "remote")


@pytest.mark.parametrize("name", ["remoteEntry.js", "page.js"])
def test_a_file_that_is_named_must_be_there(name: str) -> None:
    files = a_build()
    del files[name]
    with pytest.raises(FilesMissing) as refused:
        manifest.read(files, "remote")
    assert refused.value.errors is not None
    assert [error["path"] for error in refused.value.errors] == [name]


def test_the_folder_of_an_entry_counts() -> None:
    entry = {"name": "remoteEntry.js", "path": "static/js/", "type": "module"}
    files = a_build(a_manifest(remoteEntry=entry))
    with pytest.raises(FilesMissing):
        manifest.read(files, "remote")
    _, remote = manifest.read({**files, "static/js/remoteEntry.js": b""}, "remote")
    assert (remote.entry, remote.type) == ("static/js/remoteEntry.js", "module")


@pytest.mark.parametrize("kind", ["remote", "host"])
def test_only_a_remote_needs_an_entry(kind: Any) -> None:
    files = a_build(a_manifest(remoteEntry={"name": "", "path": "", "type": "global"}))
    if kind == "remote":
        with pytest.raises(ManifestInvalid):
            manifest.read(files, kind)
    else:
        assert manifest.read(files, kind)[1].entry == ""


@pytest.mark.parametrize(
    "meta",
    [
        {"getPublicPath": "return '//elsewhere/'"},
        {"getPublicPath": ""},
        {"publicPath": "https://elsewhere.example/"},
        {"publicPath": "/"},
        {"publicPath": None},
    ],
)
def test_a_build_that_fixes_or_computes_its_address_is_refused(meta: dict[str, Any]) -> None:
    with pytest.raises(ManifestInvalid):
        manifest.read(a_build(a_manifest(**meta)), "remote")


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"1", b"null", b'"x"', b"\xff", b"{" * 2000, b'{"a":' * 80 + b"1" + b"}" * 80]
)
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        manifest.read(a_build() | {"mf-manifest.json": raw}, "remote")


def test_a_manifest_has_a_sensible_size() -> None:
    large = a_manifest(note="x" * manifest.MAX_MANIFEST_BYTES)
    with pytest.raises(ManifestInvalid):
        manifest.read(a_build(large), "remote")


@settings(max_examples=300)
@given(st.data())
def test_any_value_in_any_place_is_accepted_or_refused_but_never_a_fault(data: st.DataObject) -> None:
    whole = a_manifest()
    place: Any = whole
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(json_values)
        break
    with contextlib.suppress(ManifestInvalid, FilesMissing):
        content, _ = manifest.read(a_build() | {"mf-manifest.json": orjson.dumps(whole)}, "remote")
        assert content == whole


@given(st.integers(1, 2 * MAX_DEPTH))
def test_depth_is_counted(depth: int) -> None:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    assert is_shallow(value) == (depth < MAX_DEPTH)
