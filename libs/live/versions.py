"""Versions as clients carry them: opaque text, here a list of positions. Compared only on this side."""

from __future__ import annotations

import re
from collections.abc import Iterable

from libs.contracts.envelope import Position
from libs.errors import BadRequest

_PART = re.compile(r"^(identity|registry|deploy|audit|frame)/([A-Za-z0-9_]{1,64})=([0-9]{1,18})\Z")
# More than the subscriptions of one connection can come from.
MOST_POSITIONS = 256
# Beside the streams, a connection counts its own frames, so that no two of them end in the same version.
_FRAME = "frame"


class MalformedVersion(BadRequest):
    """The text is no version that this portal gave out."""


def to_text(positions: Iterable[Position]) -> str:
    return ",".join(f"{p.service}/{p.org}={p.sequence}" for p in sorted(positions))


def numbered(version: str, frame: int) -> str:
    """The version of one frame of a connection."""
    return f"{version},{_FRAME}/connection={frame}" if version else f"{_FRAME}/connection={frame}"


def from_text(text: str) -> tuple[Position, ...]:
    """Raises MalformedVersion: a client sent something that is not a version."""
    if not text:
        return ()
    parts = text.split(",")
    found = [_PART.match(part) for part in parts]
    if len(parts) > MOST_POSITIONS + 1 or not all(found):
        raise MalformedVersion("a version is given back as it was given out")
    return tuple(Position(m[1], m[2], int(m[3])) for m in found if m and m[1] != _FRAME)
