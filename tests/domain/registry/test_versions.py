"""Rules of a version: immutable, the same by its bytes."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.registry import FileRecord, Remote, VersionPublished
from services.registry.apps.domain import KnownApp
from services.registry.versions import domain
from services.registry.versions.domain import StoredVersion, VersionExists, VersionNotFound
from tests.domain.registry.builders import NOW, a_publish, an_app

REMOTE = Remote(name="orders", entry="remoteEntry.js", type="global", exposes=("./Page",))
files = st.dictionaries(
    st.text("abc/.", min_size=1, max_size=6), st.binary(max_size=8), min_size=1, max_size=6
)


def records(content: dict[str, bytes]) -> tuple[FileRecord, ...]:
    return tuple(domain.record(path, data) for path, data in content.items())


def published(
    app: KnownApp | None = None,
    existing: StoredVersion | None = None,
    version: str = "1.0.0",
    **content: bytes,
) -> tuple[KnownApp, StoredVersion, list[object]]:
    app, stored, events = domain.publish(
        app or an_app(), existing, a_publish(version), records(content), {}, REMOTE, "usr_a", NOW
    )
    return app, stored, list(events)


def test_a_version_is_told_with_its_digest_and_size() -> None:
    app, version, events = published(a=b"12", b=b"345")
    assert (version.size, version.ordinal, version.revision, version.state) == (5, 1, 1, "published")
    assert (app.versions, app.latest) == (1, "1.0.0")
    assert events == [
        VersionPublished(org="org_a", app="orders", version="1.0.0", digest=version.digest, size=5)
    ]


def test_the_same_bytes_again_change_nothing_and_tell_nothing() -> None:
    app, first, _ = published(a=b"1")
    again_app, again, events = published(app, first, a=b"1")
    assert (again_app, again, events) == (app, first, [])


def test_other_bytes_under_the_same_version_are_refused() -> None:
    app, first, _ = published(a=b"1")
    others: list[dict[str, Any]] = [{"a": b"2"}, {"b": b"1"}, {"a": b"1", "b": b""}]
    for other in others:
        with pytest.raises(VersionExists):
            published(app, first, **other)


def test_versions_are_numbered_in_the_order_of_their_publication() -> None:
    app, first, _ = published(a=b"1")
    _, second, _ = published(app, None, "0.9.0", a=b"2")
    assert (first.ordinal, second.ordinal) == (1, 2)


@given(files, st.randoms())
def test_the_digest_is_of_the_content_and_not_of_its_order(content: dict[str, bytes], random: object) -> None:
    paths = list(content)
    random.shuffle(paths)  # type: ignore[attr-defined]  # hypothesis's own random.Random
    assert domain.digest_of(records(content)) == domain.digest_of(records({p: content[p] for p in paths}))


@given(files, files)
def test_other_content_has_another_digest(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    same = domain.digest_of(records(one)) == domain.digest_of(records(other))
    assert same == (one == other)


def test_the_archive_of_types_says_nothing_of_sameness() -> None:
    """It holds the time at which it was packed."""
    with_types = {"a": b"1", domain.TYPES_ARCHIVE: b"monday"}
    assert domain.digest_of(records(with_types)) == domain.digest_of(records({"a": b"1"}))


def test_integrity_is_as_browsers_check_it() -> None:
    record = domain.record("a.js", b"content")
    expected = base64.b64encode(hashlib.sha384(b"content").digest()).decode()
    assert record.integrity == f"sha384-{expected}"
    assert record.digest == hashlib.sha256(b"content").hexdigest()
    assert record.size == 7


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["dev", "prod", "qa"])), max_size=10))
def test_where_a_version_is_live_is_told_once_for_each_environment(moves: list[tuple[bool, str]]) -> None:
    _, version, _ = published(a=b"1")
    live: set[str] = set()
    for comes, environment in moves:
        version = (domain.placed if comes else domain.taken_back)(version, environment)
        live = live | {environment} if comes else live - {environment}
    assert version.live_in == tuple(sorted(live))
    assert version.revision == 1 + len(moves)
    assert version.files == published(a=b"1")[1].files


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(VersionNotFound):
        domain.known(None, "1.0.0")
