"""Proofs that travel as one file and are checked with nothing but a verifier key: c2sp.org/tlog-proof."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from libs.transparency.notes import Checkpoint, Note, NoteMalformed, Verifier, parse_checkpoint, parse_note
from libs.transparency.tree import HASH_BYTES, verify_inclusion

FORM = "c2sp.org/tlog-proof@v1"
# A tree of 2^63 leaves needs no more.
MOST_HASHES = 63
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


class Proof(NamedTuple):
    """An entry's place from 0, the hashes from it to the root, and the checkpoint that signs the root."""

    place: int
    hashes: tuple[bytes, ...]
    checkpoint: Note

    def __str__(self) -> str:
        hashes = "".join(f"{base64.b64encode(found).decode()}\n" for found in self.hashes)
        return f"{FORM}\nindex {self.place}\n{hashes}\n{self.checkpoint}"

    def verify(self, leaf: bytes, verifier: Verifier, origin: str) -> Checkpoint:
        """The checkpoint, once its signature, its origin and the way from the leaf to its root hold."""
        verifier.verify(self.checkpoint)
        checkpoint = parse_checkpoint(self.checkpoint)
        if checkpoint.origin != origin:
            raise NoteMalformed(f"a checkpoint of {checkpoint.origin}, not of {origin}")
        verify_inclusion(leaf, self.place, checkpoint.size, self.hashes, checkpoint.root)
        return checkpoint


def parse_proof(said: str) -> Proof:
    head, blank, note = said.partition("\n\n")
    form, *lines = head.split("\n")
    if not blank or form != FORM or not lines:
        raise NoteMalformed(f"not a {FORM}")
    index = _INDEX.fullmatch(lines[0])
    if index is None or len(lines) > 1 + MOST_HASHES:
        raise NoteMalformed("a proof has an index and the hashes of a path")
    return Proof(int(index[1]), tuple(_hash(line) for line in lines[1:]), parse_note(note))


def _hash(line: str) -> bytes:
    try:
        found = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise NoteMalformed("a hash is not base64") from None
    if len(found) != HASH_BYTES:
        raise NoteMalformed(f"a hash has {HASH_BYTES} bytes")
    return found
