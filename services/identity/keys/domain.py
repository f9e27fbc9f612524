"""The keyring, and tokens that are derived from it instead of being stored. No I/O."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import Any

from libs.contracts.base import Moment, Resource

# A refresh token never passes for an invitation, whatever its parts.
REFRESH = "refresh"
INVITATION = "invitation"


class Keyring(Resource):
    """The secrets of the installation: one for each, made by whichever replica starts first."""

    id: str = "keyring"
    # Private JWKs, newest first. The first one signs, all of them verify.
    signing: tuple[dict[str, Any], ...]
    # What derived tokens are proved with, in hex.
    secret: str
    created_at: Moment

    def seal(self, purpose: str, *parts: str) -> str:
        """A token that names its parts and proves that we made it."""
        return ".".join((*parts, self._proof(purpose, parts)))

    def unseal(self, purpose: str, token: str) -> tuple[str, ...] | None:
        """The parts of a token of ours, or None."""
        *parts, proof = token.split(".")
        genuine = hmac.compare_digest(self._proof(purpose, tuple(parts)).encode(), proof.encode())
        return tuple(parts) if genuine else None

    def _proof(self, purpose: str, parts: tuple[str, ...]) -> str:
        text = "|".join((purpose, *parts)).encode()
        digest = hmac.new(bytes.fromhex(self.secret), text, hashlib.sha256).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
