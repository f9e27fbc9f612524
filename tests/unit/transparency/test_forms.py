"""Notes, checkpoints, proofs and tiles as the specifications write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from libs.transparency.notes import (
    Checkpoint,
    NoteMalformed,
    SignatureMissing,
    Signer,
    parse_checkpoint,
    parse_note,
    parse_verifier,
    signed,
)
from libs.transparency.proofs import Proof, parse_proof
from libs.transparency.tiles import (
    WIDTH,
    Tile,
    TilePathUnknown,
    bundle,
    lookup_in,
    parse_tile,
    tile_of,
    unbundled,
)
from libs.transparency.tree import (
    Frontier,
    ProofInvalid,
    Subtree,
    inclusion_proof,
    leaf_hash,
    root,
    verify_inclusion,
)

ORIGIN = "portal.example/logs/acme"
# The example of golang.org/x/mod/sumdb/note.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n\n"
    "\u2014 PeterNeumann x08go/ZJku"
    "BS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def signer(name: str = ORIGIN, seed: int = 1) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def test_the_example_of_the_specification_is_read_verified_and_written_again() -> None:
    verifier, note = parse_verifier(PETER), parse_note(NOTE)
    verifier.verify(note)
    assert (str(verifier), str(note)) == (PETER, NOTE)


def test_a_note_is_refused_with_another_text_another_key_or_a_false_signature() -> None:
    verifier = parse_verifier(PETER)
    with pytest.raises(SignatureMissing, match="false"):
        verifier.verify(parse_note(NOTE.replace("answer", "anwser")))
    with pytest.raises(SignatureMissing, match="not signed by"):
        signer().verifier.verify(parse_note(NOTE))
    namesake = signer("PeterNeumann").verifier
    with pytest.raises(SignatureMissing, match="not signed by"):
        namesake.verify(parse_note(NOTE))


def test_a_checkpoint_bears_the_signatures_of_the_log_and_of_witnesses() -> None:
    checkpoint = Checkpoint(ORIGIN, 12, bytes(32))
    log, witness = signer(), signer("witness.example/w1", 2)
    note = parse_note(str(signed(checkpoint.text(), [log, witness])))
    for one in (log, witness):
        parse_verifier(str(one.verifier)).verify(note)
    assert parse_checkpoint(note) == checkpoint
    assert parse_checkpoint(note._replace(text=note.text + "an extension\n")) == checkpoint


@pytest.mark.parametrize(
    "said",
    [
        "",
        "no signature\n",
        "no empty line\n" + NOTE.split("\n\n")[1],
        NOTE.removesuffix("\n"),
        NOTE.replace("\u2014", "-"),
        NOTE.replace("x08go", "x08g!"),
        NOTE.replace("PeterNeumann ", "Peter+Neumann "),
        NOTE.replace("then", "th\x00en"),
        NOTE.replace("nAM=", "nAN="),
        NOTE + NOTE.splitlines(keepends=True)[-1] * 100,
        NOTE.replace("then", "then" * 300_000),
    ],
)
def test_what_is_no_note_is_refused(said: str) -> None:
    with pytest.raises(NoteMalformed):
        parse_note(said)


@pytest.mark.parametrize(
    "text",
    [
        "origin\n",
        "origin\n1\n",
        "\n1\nAAAA\n",
        "origin\n01\nAAAA\n",
        "origin\n-1\nAAAA\n",
        "origin\n1\nAAAA\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteMalformed):
        parse_checkpoint(signed(text, [signer()]))


@pytest.mark.parametrize(
    "said", ["", "name", "a+b", "a b+00000000+AAAA", PETER.replace("c74f", "c74e"), PETER[:-4], "x" + PETER]
)
def test_what_is_no_verifier_key_is_refused(said: str) -> None:
    with pytest.raises(NoteMalformed):
        parse_verifier(said)


def test_names_that_would_break_a_line_cannot_sign() -> None:
    for name in ("", "two words", "a+b", "a\nb"):
        with pytest.raises(NoteMalformed):
            signer(name)
    with pytest.raises(NoteMalformed):
        signer().sign("no newline")


# ---- tiles and proofs ----


class Stored:
    """A tree in tiles, as a log would serve it."""

    def __init__(self, size: int) -> None:
        self.tree = Frontier()
        self.hashes: dict[Subtree, bytes] = {}
        self.asked: list[Tile] = []
        for number in range(size):
            self.hashes.update(self.tree.append(leaf_hash(str(number).encode())))

    def read(self, tile: Tile) -> bytes:
        assert tile.exists_at(self.tree.size), tile
        self.asked.append(tile)
        return b"".join(self.hashes[subtree] for subtree in tile.subtrees())


@pytest.fixture(scope="module")
def large() -> Stored:
    return Stored(70_000)


@pytest.mark.parametrize("index", [0, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999])
def test_tiles_are_enough_for_every_proof(large: Stored, index: int) -> None:
    size = large.tree.size
    look = lookup_in(large.read, size)
    assert root(size, look) == large.tree.root()
    proof = inclusion_proof(index, size, look)
    verify_inclusion(leaf_hash(str(index).encode()), index, size, proof, large.tree.root())


def test_a_proof_travels_as_one_file_and_is_checked_with_a_key_alone(large: Stored) -> None:
    size, log = large.tree.size, signer()
    note = signed(Checkpoint(ORIGIN, size, large.tree.root()).text(), [log])
    sent = str(Proof(1234, tuple(inclusion_proof(1234, size, lookup_in(large.read, size))), note))
    assert sent.startswith("c2sp.org/tlog-proof@v1\nindex 1234\n")
    proof = parse_proof(sent)
    assert str(proof) == sent
    assert proof.verify(leaf_hash(b"1234"), log.verifier, ORIGIN).size == size
    with pytest.raises(ProofInvalid):
        proof.verify(leaf_hash(b"1235"), log.verifier, ORIGIN)
    with pytest.raises(NoteMalformed, match="not of"):
        proof.verify(leaf_hash(b"1234"), log.verifier, "portal.example/logs/other")
    with pytest.raises(SignatureMissing):
        proof.verify(leaf_hash(b"1234"), signer(seed=2).verifier, ORIGIN)


def test_what_is_no_proof_is_refused() -> None:
    note = str(signed(Checkpoint(ORIGIN, 1, bytes(32)).text(), [signer()]))
    good = f"c2sp.org/tlog-proof@v1\nindex 0\n\n{note}"
    assert parse_proof(good).hashes == ()
    breaks: list[Callable[[str], str]] = [
        lambda said: said.replace("@v1", "@v2"),
        lambda said: said.replace("index 0", "index 00"),
        lambda said: said.replace("index 0", "index -1"),
        lambda said: said.replace("index 0\n", ""),
        lambda said: said.replace("index 0", "index 0\nAAAA"),
        lambda said: said.replace("index 0", "index 0\n!"),
        lambda said: said.replace("index 0", "index 0" + "\n" + "A" * 43 + "=" * 64),
        lambda said: said.split("\n\n")[0],
    ]
    for broken in breaks:
        with pytest.raises(NoteMalformed):
            parse_proof(broken(good))


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 0, 12), "tile/0/000.p/12"),
        (Tile(1, 67), "tile/1/067"),
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(None, 1_234_067, 5), "tile/entries/x001/x234/067.p/5"),
    ],
)
def test_paths_of_tiles(tile: Tile, path: str) -> None:
    assert tile.path() == path
    assert parse_tile(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        *("tile/0/0", "tile/0/x000/001", "tile/00/001", "tile/64/001", "tile/0/001.p/0", "tile/0/001.p/256"),
        *("tile/0/001/002", "tile/0/x001", "tile/0/../001", "tile/0/001.p/01", "tile/-1/001"),
        "tile/0/x999" * 9,
    ],
)
def test_a_tile_has_one_path_only(path: str) -> None:
    with pytest.raises(TilePathUnknown):
        parse_tile(path)


@given(st.integers(1, 1 << 40), st.data())
def test_every_complete_subtree_lies_in_a_tile_of_the_tree(size: int, data: st.DataObject) -> None:
    level = data.draw(st.integers(0, size.bit_length() - 1))
    number = data.draw(st.integers(0, (size >> level) - 1))
    tile = tile_of(Subtree(level, number), size)
    assert tile.exists_at(size)
    assert 1 <= tile.width <= WIDTH
    assert parse_tile(tile.path()) == tile


@given(st.lists(st.binary(max_size=300), max_size=WIDTH))
def test_entries_come_out_of_a_bundle_as_they_went_in(entries: list[bytes]) -> None:
    content = bundle(entries)
    assert unbundled(content) == entries
    for cut in (1, 2):
        if entries and len(entries[-1]) >= cut:
            with pytest.raises(ValueError, match="ends within"):
                unbundled(content[:-cut])


def test_an_entry_that_is_too_long_for_its_length_is_refused() -> None:
    with pytest.raises(ValueError, match="65535"):
        bundle([bytes(65_536)])
