"""The keyring, and tokens that are derived from it instead of being stored. No I/O."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from libs.contracts.base import Event, Moment, Resource
from libs.contracts.identity import RotatedKeys, SigningKeysChanged
from libs.errors import Conflict

# A refresh token never passes for an invitation, whatever its parts.
REFRESH = "refresh"
INVITATION = "invitation"
LINK = "link"


class RotationTooSoon(Conflict):
    """The next key has not been published for long enough; whoever verifies may not have it yet."""


class Keyring(Resource):
    """The secrets of the installation: one for each, made by whichever replica starts first."""

    id: str = "keyring"
    # Private JWKs. The first one signs, the others signed before it, newest first; all of them verify.
    signing: tuple[dict[str, Any], ...]
    # Signs after the next rotation. Published from now on, so that it is known before it is used.
    upcoming: dict[str, Any] | None = None
    upcoming_since: Moment | None = None
    # When the first one began to sign, and when each of the others stopped.
    signing_since: Moment | None = None
    stopped: dict[str, Moment] = Field(default_factory=dict)
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

    def derive(self, purpose: str, *parts: str) -> bytes:
        """A secret for one purpose that is stored nowhere: whoever has the keyring can make it again."""
        text = "|".join(("derive", purpose, *parts)).encode()
        return hmac.new(bytes.fromhex(self.secret), text, hashlib.sha256).digest()

    def _proof(self, purpose: str, parts: tuple[str, ...]) -> str:
        text = "|".join((purpose, *parts)).encode()
        digest = hmac.new(bytes.fromhex(self.secret), text, hashlib.sha256).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def published(self) -> tuple[dict[str, Any], ...]:
        return (*self.signing, self.upcoming) if self.upcoming else self.signing

    def answer(self) -> RotatedKeys:
        assert self.upcoming is not None, "made at the start"
        current, *previous = (str(key["kid"]) for key in self.signing)
        return RotatedKeys(current=current, next=str(self.upcoming["kid"]), previous=tuple(previous))


def with_upcoming(keyring: Keyring, key: dict[str, Any], now: datetime) -> Keyring:
    """For keyrings that were made before keys rotated."""
    fields = {"upcoming": key, "upcoming_since": now, "revision": keyring.revision + 1}
    return keyring.model_copy(update=fields)


def is_due(keyring: Keyring, every: timedelta | None, now: datetime) -> bool:
    return every is not None and now >= (keyring.signing_since or keyring.created_at) + every


def rotate(
    keyring: Keyring, key: dict[str, Any], now: datetime, published_first: timedelta, tokens_last: timedelta
) -> tuple[Keyring, list[Event]]:
    """The upcoming key signs, `key` is published as the one after it, and the present one verifies until the
    last token that it signed has run out."""
    assert keyring.upcoming is not None, "made at the start"
    if now < (keyring.upcoming_since or keyring.created_at) + published_first:
        raise RotationTooSoon("the next key has just been published")
    stopped = {**keyring.stopped, str(keyring.signing[0]["kid"]): now}
    kept = {kid: moment for kid, moment in stopped.items() if now < moment + tokens_last}
    previous = tuple(old for old in keyring.signing if str(old["kid"]) in kept)
    rotated = keyring.model_copy(
        update={
            "signing": (keyring.upcoming, *previous),
            "upcoming": key,
            "upcoming_since": now,
            "signing_since": now,
            "stopped": kept,
            "revision": keyring.revision + 1,
        }
    )
    answer = rotated.answer()
    return rotated, [SigningKeysChanged(current=answer.current, next=answer.next)]
