"""Public keys of issuers of tokens: fetched once, kept, and fetched again when a token names a new one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from libs.fetch import Fetcher, FetchFailed

logger = logging.getLogger(__name__)
# A token with a key that nobody knows makes us ask at most this often.
COOL_DOWN_S = 5.0
# Keys are asked for again after this, so that one that was withdrawn is known to be.
FRESH_S = 600.0
# An issuer that does not answer is believed for this long.
STALE_S = 24 * 3600.0
MAX_ISSUERS = 2_000
MAX_KEYS = 100
DISCOVERY = "/.well-known/openid-configuration"

# The algorithms that each kind of key may be used with. Never what a token's header says beyond that, and
# never a secret: a public key must not become one.
ALGORITHMS = {
    "RSA": ("RS256", "PS256", "RS384", "PS384", "RS512", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("Ed25519", "EdDSA"),
}
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
ASYMMETRIC = frozenset(name for names in ALGORITHMS.values() for name in names)


class KeysUnknown(Exception):
    """The issuer's keys could not be had."""


@dataclass
class _Known:
    keys: dict[str, Key] = field(default_factory=dict)
    asked_at: float = float("-inf")
    answered_at: float = float("-inf")
    # Grows whenever the set of keys changes.
    edition: int = 0
    asking: asyncio.Task[None] | None = None


class KeySets:
    """Of all issuers that tokens have come from."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._known: OrderedDict[tuple[str, str | None], _Known] = OrderedDict()

    async def key(self, issuer: str, jwks_uri: str | None, kid: str) -> tuple[Key | None, int]:
        """The key, if the issuer has it, and the edition of the set. Raises KeysUnknown.

        `jwks_uri` None finds it by the issuer's discovery document.
        """
        known = self._of(issuer, jwks_uri)
        now = time.monotonic()
        old = now - known.answered_at > FRESH_S
        if (old or kid not in known.keys) and now - known.asked_at >= COOL_DOWN_S:
            await self._ask(known, issuer, jwks_uri)
        if time.monotonic() - known.answered_at > STALE_S:
            raise KeysUnknown(issuer)
        return known.keys.get(kid), known.edition

    def edition(self, issuer: str, jwks_uri: str | None) -> int:
        """Of the set as it is known now. What was verified under another has to be verified again."""
        return self._of(issuer, jwks_uri).edition

    def is_fresh(self, issuer: str, jwks_uri: str | None) -> bool:
        return time.monotonic() - self._of(issuer, jwks_uri).answered_at <= FRESH_S

    def _of(self, issuer: str, jwks_uri: str | None) -> _Known:
        name = (issuer, jwks_uri)
        known = self._known.setdefault(name, _Known())
        self._known.move_to_end(name)
        if len(self._known) > MAX_ISSUERS:
            self._known.popitem(last=False)
        return known

    async def _ask(self, known: _Known, issuer: str, jwks_uri: str | None) -> None:
        """One question at a time, whoever waits for it."""
        if known.asking is None or known.asking.done():
            known.asked_at = time.monotonic()
            known.asking = asyncio.create_task(self._ask_now(known, issuer, jwks_uri))
        await asyncio.shield(known.asking)

    async def _ask_now(self, known: _Known, issuer: str, jwks_uri: str | None) -> None:
        try:
            keys = await self._fetch(issuer, jwks_uri)
        except FetchFailed as error:
            logger.warning("keys of %s: %s", issuer, error)
            return
        if {name: key.thumbprint() for name, key in keys.items()} != {
            name: key.thumbprint() for name, key in known.keys.items()
        }:
            known.keys = keys
            known.edition += 1
        known.answered_at = time.monotonic()

    async def _fetch(self, issuer: str, jwks_uri: str | None) -> dict[str, Key]:
        if jwks_uri is None:
            document = await self._fetcher.json(issuer.rstrip("/") + DISCOVERY)
            if not isinstance(document, dict) or document.get("issuer") != issuer:
                raise FetchFailed("the discovery document is of another issuer")
            jwks_uri = str(document.get("jwks_uri", ""))
        found = await self._fetcher.json(jwks_uri)
        if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
            raise FetchFailed("no key set")
        return dict(entry for key in found["keys"][:MAX_KEYS] if (entry := _key(key)))


def _key(found: Any) -> tuple[str, Key] | None:
    """A public key for signatures, or None: what else is in a set is nobody's business here."""
    if not isinstance(found, dict) or not isinstance(found.get("kid"), str):
        return None
    if found.get("kty") not in ALGORITHMS or found.get("use", "sig") != "sig" or "d" in found:
        return None
    try:
        return found["kid"], JWKRegistry.import_key(found)
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def algorithms_of(key: Key) -> tuple[str, ...]:
    """What a key may verify: by its kind, its curve, and its own `alg` where it has one."""
    fields = key.as_dict(private=False)
    kind = str(fields["kty"])
    allowed = (
        (_CURVES[str(fields["crv"])],)
        if kind == "EC" and fields.get("crv") in _CURVES
        else (() if kind == "EC" else ALGORITHMS[kind])
    )
    named = fields.get("alg")
    return tuple(name for name in allowed if named is None or name == named)
