"""Merkle trees as RFC 6962 hashes them: growth from a frontier, proofs, and what a verifier does with them.

Subtrees are named by level and number: `(0, 5)` is the sixth leaf, `(3, 1)` covers leaves 8 to 15. Only
complete subtrees have a name; their hashes never change again, so they can be stored and cached for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

HASH_BYTES = 32
EMPTY = hashlib.sha256(b"").digest()

# The hash of a complete subtree, by level and number.
Lookup = Callable[["Subtree"], bytes]


class Subtree(NamedTuple):
    """A complete subtree of 2^level leaves, the `number`-th of its level."""

    level: int
    number: int


class ProofInvalid(ValueError):
    """A proof does not connect what it claims to connect."""


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """What is needed of a tree to grow it: the hashes of its complete subtrees, the largest first."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ValueError(
                f"a tree of {size} leaves has {size.bit_count()} subtrees, not {len(self.hashes)}"
            )

    def append(self, leaf: bytes) -> list[tuple[Subtree, bytes]]:
        """Adds the hash of a leaf; returns every subtree that it completed, itself first."""
        subtree, found = Subtree(0, self.size), leaf
        completed = [(subtree, found)]
        while subtree.number & 1:
            found = node_hash(self.hashes.pop(), found)
            subtree = Subtree(subtree.level + 1, subtree.number >> 1)
            completed.append((subtree, found))
        self.hashes.append(found)
        self.size += 1
        return completed

    def root(self) -> bytes:
        return _folded(self.hashes)


def subtrees(start: int, size: int) -> list[Subtree]:
    """The complete subtrees of leaves `start` to `size`, left to right, where `start` is the beginning of a
    subtree as large as what follows it."""
    found = []
    while start < size:
        level = (size - start).bit_length() - 1
        found.append(Subtree(level, start >> level))
        start += 1 << level
    return found


def root(size: int, lookup: Lookup) -> bytes:
    """The root of the tree's first `size` leaves."""
    return _range_hash(0, size, lookup)


def inclusion_proof(index: int, size: int, lookup: Lookup) -> list[bytes]:
    """The hashes beside the way from leaf `index` to the root of the first `size` leaves, leaf's first."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    beside = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((start, middle))
            start = middle
    return [_range_hash(*leaves, lookup) for leaves in reversed(beside)]


def consistency_proof(old: int, size: int, lookup: Lookup) -> list[bytes]:
    """Hashes that show the first `old` leaves to be unchanged among the first `size`."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {size} was never one of {old}")
    if old in (0, size):
        return []
    beside = []
    start, end, whole = 0, size, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((start, middle))
            start, whole = middle, False
    if not whole:
        beside.append((start, end))
    return [_range_hash(*leaves, lookup) for leaves in reversed(beside)]


def root_of_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a proof of inclusion leads to (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofInvalid(f"no leaf {index} in a tree of {size}")
    here, last, found = index, size - 1, leaf
    for beside in _hashes(proof):
        if last == 0:
            raise ProofInvalid("the proof is too long")
        if here & 1 or here == last:
            found = node_hash(beside, found)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, beside)
        here, last = here >> 1, last >> 1
    if last:
        raise ProofInvalid("the proof is too short")
    return found


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    if root_of_inclusion(leaf, index, size, proof) != root:
        raise ProofInvalid(f"leaf {index} is not in this tree of {size}")


def verify_consistency(old: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes) -> None:
    """Raises unless the tree of `size` begins with the tree of `old` (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= size:
        raise ProofInvalid(f"a tree of {size} was never one of {old}")
    if old in (0, size):
        if proof:
            raise ProofInvalid("the proof is too long")
        if old_root != (root if old else EMPTY):
            raise ProofInvalid(f"two different trees of {old}")
        return
    hashes = list(_hashes(proof))
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        raise ProofInvalid("the proof is too short")
    here, last = old - 1, size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    was = now = hashes[0]
    for beside in hashes[1:]:
        if last == 0:
            raise ProofInvalid("the proof is too long")
        if here & 1 or here == last:
            was, now = node_hash(beside, was), node_hash(beside, now)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            now = node_hash(now, beside)
        here, last = here >> 1, last >> 1
    if last:
        raise ProofInvalid("the proof is too short")
    if was != old_root:
        raise ProofInvalid(f"the proof is not about the older tree of {old}")
    if now != root:
        raise ProofInvalid(f"the tree of {size} does not begin with the tree of {old}")


def _hashes(proof: Sequence[bytes]) -> Iterable[bytes]:
    for found in proof:
        if len(found) != HASH_BYTES:
            raise ProofInvalid(f"a hash has {HASH_BYTES} bytes, not {len(found)}")
        yield found


def _split(leaves: int) -> int:
    """The largest power of two below the number of leaves."""
    return 1 << (leaves - 1).bit_length() - 1


def _range_hash(start: int, end: int, lookup: Lookup) -> bytes:
    return _folded([lookup(subtree) for subtree in subtrees(start, end)])


def _folded(hashes: Sequence[bytes]) -> bytes:
    """One hash of subtrees that lie side by side, the largest first."""
    if not hashes:
        return EMPTY
    *rest, found = hashes
    for left in reversed(rest):
        found = node_hash(left, found)
    return found
