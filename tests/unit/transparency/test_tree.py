"""Trees against the definition in RFC 6962, written down again in the plainest way, and known roots."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.transparency.tree import (
    Frontier,
    ProofInvalid,
    Subtree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

MOST = 70
LEAVES = [leaf_hash(f"entry {number}".encode()) for number in range(MOST)]


@cache
def defined(start: int, end: int) -> bytes:
    """MTH of RFC 6962, 2.1, word for word."""
    count = end - start
    if count == 0:
        return hashlib.sha256(b"").digest()
    if count == 1:
        return LEAVES[start]
    split = 1
    while split * 2 < count:
        split *= 2
    return node_hash(defined(start, start + split), defined(start + split, end))


def stored(subtree: Subtree) -> bytes:
    first = subtree.number << subtree.level
    assert first + (1 << subtree.level) <= MOST
    return defined(first, first + (1 << subtree.level))


def test_known_roots() -> None:
    """The eight leaves and roots that Certificate Transparency's implementations are tested with."""
    leaves = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
    roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    tree = Frontier()
    assert tree.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for leaf, expected in zip(leaves, roots, strict=True):
        tree.append(leaf_hash(bytes.fromhex(leaf)))
        assert tree.root().hex() == expected


def test_a_tree_grows_as_it_is_defined_and_names_each_subtree_once() -> None:
    tree, named = Frontier(), {}
    for size, leaf in enumerate(LEAVES, 1):
        for subtree, found in tree.append(leaf):
            assert subtree not in named
            named[subtree] = found
            assert found == stored(subtree)
        assert tree.root() == defined(0, size) == root(size, named.__getitem__)
        tree = Frontier(tree.size, tree.hashes)
    with pytest.raises(ValueError, match="3 subtrees"):
        Frontier(7, tree.hashes[:1])


def test_every_leaf_is_proved_in_every_tree_and_in_no_other_place() -> None:
    for size in range(1, MOST + 1):
        for index in range(size):
            proof = inclusion_proof(index, size, stored)
            verify_inclusion(LEAVES[index], index, size, proof, defined(0, size))
            for other in {0, size - 1, index ^ 1, index + 1} - {index}:
                with pytest.raises(ProofInvalid):
                    verify_inclusion(LEAVES[index], other, size, proof, defined(0, size))


def test_every_tree_is_proved_to_continue_every_smaller_one() -> None:
    for size in range(MOST + 1):
        for old in range(size + 1):
            proof = consistency_proof(old, size, stored)
            verify_consistency(old, size, proof, defined(0, old), defined(0, size))
            false = hashlib.sha256(b"another").digest()
            with pytest.raises(ProofInvalid):
                verify_consistency(old, size, proof, false, defined(0, size))
            if old:
                with pytest.raises(ProofInvalid):
                    verify_consistency(old, size, proof, defined(0, old), false)


@given(st.data())
def test_no_changed_proof_is_believed(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, MOST))
    old = data.draw(st.integers(1, size - 1))
    index = data.draw(st.integers(0, size - 1))

    def included(proof: list[bytes]) -> None:
        verify_inclusion(LEAVES[index], index, size, proof, defined(0, size))

    def continued(proof: list[bytes]) -> None:
        verify_consistency(old, size, proof, defined(0, old), defined(0, size))

    cases: list[tuple[list[bytes], Callable[[list[bytes]], None]]] = [
        (inclusion_proof(index, size, stored), included),
        (consistency_proof(old, size, stored), continued),
    ]
    for proof, check in cases:
        changed = list(proof)
        kind = data.draw(st.sampled_from(["drop", "add", "flip", "swap", "cut"]))
        at = data.draw(st.integers(0, len(changed) - 1)) if changed else 0
        if kind == "add" or not changed:
            changed.insert(at, data.draw(st.binary(min_size=32, max_size=32)))
        elif kind == "drop":
            del changed[at]
        elif kind == "flip":
            bit = data.draw(st.integers(0, 255))
            changed[at] = (int.from_bytes(changed[at]) ^ (1 << bit)).to_bytes(32)
        elif kind == "swap" and len(changed) > 1:
            changed[at], changed[at - 1] = changed[at - 1], changed[at]
        else:
            changed[at] = changed[at][:31]
        with pytest.raises(ProofInvalid):
            check(changed)


def test_what_was_never_there_has_no_proof() -> None:
    for index, size in ((5, 5), (-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="no leaf"):
            inclusion_proof(index, size, stored)
        with pytest.raises(ProofInvalid):
            verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])
    for old, size in ((6, 5), (-1, 5)):
        with pytest.raises(ValueError, match="never"):
            consistency_proof(old, size, stored)
        with pytest.raises(ProofInvalid):
            verify_consistency(old, size, [], LEAVES[0], LEAVES[0])


def test_a_proof_of_another_size_is_refused_although_its_hashes_lead_to_the_root() -> None:
    """A signed root says nothing of the tree's size by itself; the length of the proof has to fit it."""
    proof = inclusion_proof(0, 2, stored)
    verify_inclusion(LEAVES[0], 0, 2, proof, defined(0, 2))
    with pytest.raises(ProofInvalid, match="too short"):
        verify_inclusion(LEAVES[0], 0, 4, proof, defined(0, 2))
    with pytest.raises(ProofInvalid, match="too long"):
        verify_inclusion(LEAVES[0], 0, 2, inclusion_proof(0, 4, stored), defined(0, 4))
    continued = consistency_proof(2, 4, stored)
    with pytest.raises(ProofInvalid, match="too short"):
        verify_consistency(2, 8, continued, defined(0, 2), defined(0, 4))
