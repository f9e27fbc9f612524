"""Trees in files of 256 hashes (c2sp.org/tlog-tiles): complete ones never change, so caches may keep them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from libs.transparency.tree import HASH_BYTES, Lookup, Subtree, node_hash

HEIGHT = 8
WIDTH = 1 << HEIGHT
MOST_LEVEL = 63
MOST_ENTRY_BYTES = (1 << 16) - 1
_NUMBER = re.compile(r"(?:x[0-9]{3}/)*[0-9]{3}")
_PATH = re.compile(
    r"tile/(?P<level>0|[1-9][0-9]?|entries)/(?P<number>[x0-9/]+?)(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class TilePathUnknown(ValueError):
    """A path names no tile, or not in the one form that it may have."""


class Tile(NamedTuple):
    """`width` hashes of the subtrees of level `8 * level`, or as many entries where the level is None."""

    level: int | None
    number: int
    width: int = WIDTH

    def path(self) -> str:
        level = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{_spelled(self.number)}{partial}"

    def subtrees(self) -> list[Subtree]:
        """What its hashes are hashes of."""
        if self.level is None:
            raise ValueError("a tile of entries holds no hashes")
        first = self.number * WIDTH
        return [Subtree(self.level * HEIGHT, first + place) for place in range(self.width)]

    def exists_at(self, size: int) -> bool:
        """Whether a tree of this size has it. A partial one may be asked for as long as its full one may."""
        level = (self.level or 0) * HEIGHT
        return self.number * WIDTH + self.width <= size >> level


def parse_tile(path: str) -> Tile:
    found = _PATH.fullmatch(path)
    if not found or not _NUMBER.fullmatch(found["number"]):
        raise TilePathUnknown(path[:200])
    level = None if found["level"] == "entries" else int(found["level"])
    groups = found["number"].replace("x", "").split("/")
    tile = Tile(level, int("".join(groups)), int(found["width"] or WIDTH))
    if tile.path() != path or (level or 0) > MOST_LEVEL or tile.number >= 1 << 63:
        raise TilePathUnknown(path[:200])
    return tile


def tile_of(subtree: Subtree, size: int) -> Tile:
    """The tile that a subtree's hash is read from or computed of, as a tree of this size has it."""
    level, up = divmod(subtree.level, HEIGHT)
    number = (subtree.number << up) // WIDTH
    return Tile(level, number, min(WIDTH, (size >> level * HEIGHT) - number * WIDTH))


def lookup_in(read: Callable[[Tile], bytes], size: int) -> Lookup:
    """Hashes of any complete subtree, by way of tiles. `read` gives a tile's bytes; nothing is kept."""

    def look(subtree: Subtree) -> bytes:
        tile = tile_of(subtree, size)
        content = read(tile)
        if len(content) != tile.width * HASH_BYTES:
            raise ValueError(f"{tile.path()} has {len(content)} bytes")
        up = subtree.level - (tile.level or 0) * HEIGHT
        first = (subtree.number << up) % WIDTH
        row = [content[place * HASH_BYTES :][:HASH_BYTES] for place in range(first, first + (1 << up))]
        while len(row) > 1:
            row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
        return row[0]

    return look


def bundle(entries: Iterable[bytes]) -> bytes:
    """A tile of entries: each after its length."""
    packed = bytearray()
    for entry in entries:
        if len(entry) > MOST_ENTRY_BYTES:
            raise ValueError(f"an entry has {len(entry)} bytes, more than {MOST_ENTRY_BYTES}")
        packed += struct.pack(">H", len(entry)) + entry
    return bytes(packed)


def unbundled(content: bytes) -> list[bytes]:
    entries, at = [], 0
    while at < len(content):
        end = at + 2
        if end > len(content):
            raise ValueError("a bundle ends within a length")
        (length,) = struct.unpack(">H", content[at:end])
        at = end + length
        if at > len(content):
            raise ValueError("a bundle ends within an entry")
        entries.append(content[end:at])
    return entries


def _spelled(number: int) -> str:
    """1234067 as x001/x234/067."""
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
