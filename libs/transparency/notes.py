"""Signed notes and checkpoints in their text forms: c2sp.org/signed-note and c2sp.org/tlog-checkpoint.

A note is a text that ends in a newline, an empty line, and a line for each signature. A checkpoint is a note
whose text names a log, its size and its root.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from libs.transparency.tree import HASH_BYTES

ED25519 = b"\x01"
KEY_BYTES = 32
ID_BYTES = 4
# A note comes from anybody; none of ours comes near this.
MOST_BYTES = 1_000_000
MOST_SIGNATURES = 100
_MARK = "\u2014 "
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class NoteMalformed(ValueError):
    """A text is not a signed note, a checkpoint or a verifier key."""


class SignatureMissing(ValueError):
    """A note bears no signature by the key that it was checked with, or a false one."""


class Signature(NamedTuple):
    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        return f"{_MARK}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


class Note(NamedTuple):
    """The signed text, with its last newline, and whatever signatures came with it, not checked yet."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(signature.line() for signature in self.signatures)}"


class Verifier(NamedTuple):
    """A public key under the name that it signs as; in text `name+keyid+key`."""

    name: str
    key: bytes

    @property
    def key_id(self) -> bytes:
        return _key_id(self.name, self.key)

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.key).decode()}"

    def is_by(self, signature: Signature) -> bool:
        return (signature.name, signature.key_id) == (self.name, self.key_id)

    def verify(self, note: Note) -> None:
        """Raises SignatureMissing unless this key signed the note."""
        by_us = [signature for signature in note.signatures if self.is_by(signature)]
        if not by_us:
            raise SignatureMissing(f"not signed by {self.name}+{self.key_id.hex()}")
        try:
            for signature in by_us:
                Ed25519PublicKey.from_public_bytes(self.key).verify(signature.signature, note.text.encode())
        except (InvalidSignature, ValueError):
            raise SignatureMissing(f"a false signature of {self.name}+{self.key_id.hex()}") from None


class Signer:
    """A private key under the name that it signs as."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        if not is_name(name):
            raise NoteMalformed(f"{name!r} cannot name a key: it holds a space or a plus, or is empty")
        self._key = key
        self.verifier = Verifier(name, key.public_key().public_bytes_raw())

    def sign(self, text: str) -> Signature:
        if not text.endswith("\n"):
            raise NoteMalformed("the text of a note ends in a newline")
        return Signature(self.verifier.name, self.verifier.key_id, self._key.sign(text.encode()))


class Checkpoint(NamedTuple):
    """The log named by `origin` had `size` entries and this root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def signed(text: str, signers: Iterable[Signer]) -> Note:
    return Note(text, tuple(signer.sign(text) for signer in signers))


def parse_note(said: str) -> Note:
    if len(said) > MOST_BYTES:
        raise NoteMalformed("too long")
    if any(ord(letter) < 0x20 and letter != "\n" for letter in said):
        raise NoteMalformed("it holds a control character")
    text, blank, lines = said.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise NoteMalformed("it has no signatures after an empty line")
    found = [_parse_signature(line) for line in lines.removesuffix("\n").split("\n")]
    if len(found) > MOST_SIGNATURES:
        raise NoteMalformed("too many signatures")
    return Note(text + "\n", tuple(found))


def parse_checkpoint(note: Note) -> Checkpoint:
    """What a note says of a log. Whether it is true shows the signature; extensions are passed over."""
    lines = note.text.removesuffix("\n").split("\n")
    if len(lines) < 3 or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise NoteMalformed("a checkpoint has an origin, a size and a root")
    root = _base64(lines[2], "root")
    if len(root) != HASH_BYTES:
        raise NoteMalformed(f"a root has {HASH_BYTES} bytes")
    if not all(lines[3:]):
        raise NoteMalformed("an extension is empty")
    return Checkpoint(lines[0], int(lines[1]), root)


def parse_verifier(said: str) -> Verifier:
    """A verifier key, `name+keyid+key`; the id is checked against the key."""
    name, _, rest = said.strip().partition("+")
    key_id, plus, encoded = rest.partition("+")
    if not plus or not is_name(name):
        raise NoteMalformed("a verifier key has the form name+keyid+key")
    key = _base64(encoded, "key")
    if key[:1] != ED25519 or len(key) != 1 + KEY_BYTES:
        raise NoteMalformed("only Ed25519 keys are known")
    verifier = Verifier(name, key[1:])
    if verifier.key_id.hex() != key_id:
        raise NoteMalformed("the key's id does not belong to it")
    return verifier


def is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(letter.isspace() for letter in name)


def _key_id(name: str, key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + key).digest()[:ID_BYTES]


def _parse_signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_MARK).partition(" ")
    if not line.startswith(_MARK) or not is_name(name):
        raise NoteMalformed(f"not a line of a signature: {line[:80]!r}")
    found = _base64(encoded, "signature")
    if len(found) <= ID_BYTES:
        raise NoteMalformed("a signature is too short")
    return Signature(name, found[:ID_BYTES], found[ID_BYTES:])


def _base64(said: str, what: str) -> bytes:
    try:
        found = base64.b64decode(said, validate=True)
    except (binascii.Error, ValueError):
        raise NoteMalformed(f"the {what} is not base64") from None
    if base64.b64encode(found).decode() != said:
        raise NoteMalformed(f"the {what} is base64 in another form than the one")
    return found
