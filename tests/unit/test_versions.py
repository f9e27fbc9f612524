"""Versions come back as they were given out, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.envelope import Position
from libs.live.versions import MOST_POSITIONS, MalformedVersion, from_text, numbered, to_text

positions = st.builds(
    Position,
    st.sampled_from(["identity", "registry", "deploy", "audit"]),
    st.from_regex(r"\A[A-Za-z0-9_]{1,64}\Z"),
    st.integers(0, 10**18 - 1),
)


@given(st.lists(positions, max_size=20, unique=True))
def test_a_version_comes_back_as_it_was_given_out(given_out: list[Position]) -> None:
    assert from_text(to_text(given_out)) == tuple(sorted(given_out))


@given(st.lists(positions, max_size=20, unique=True), st.integers(0, 10**9))
def test_the_number_of_a_frame_is_no_position(given_out: list[Position], frame: int) -> None:
    assert from_text(numbered(to_text(given_out), frame)) == tuple(sorted(given_out))


@given(st.lists(positions, min_size=1, max_size=5, unique=True))
def test_the_order_of_positions_does_not_matter(given_out: list[Position]) -> None:
    assert to_text(given_out) == to_text(reversed(given_out))


@given(st.text(max_size=40))
def test_any_other_text_is_refused_or_means_the_same_when_given_out_again(text: str) -> None:
    try:
        found = from_text(text)
    except MalformedVersion:
        return
    assert from_text(to_text(found)) == tuple(sorted(found))


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "registry/org",
        "registry/org=",
        "registry/org=-1",
        "registry/org=1,",
        ",",
        "registry/org=1\n",
        "elsewhere/org=1",
        "registry/o/g=1",
        "registry/org=\u0661",
        "registry/org=" + "9" * 19,
        ",".join(["registry/org=1"] * (MOST_POSITIONS + 2)),
    ],
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(MalformedVersion):
        from_text(text)
