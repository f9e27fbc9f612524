"""Verifying access tokens (RFC 9068) with identity's public keys. No network but for a new key."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key
from starlette.requests import HTTPConnection

from libs.bus.rpc import Asker
from libs.contracts.base import Caller, service_caller
from libs.contracts.identity import GetKeys
from libs.errors import Unauthenticated
from libs.permissions import Grant

logger = logging.getLogger(__name__)

# The kinds of key that identity signs with, and the one algorithm that each may be used with. A token's own
# header never widens this: no `none`, no HMAC with a public key as the secret.
ALGORITHM = {"OKP": "Ed25519", "EC": "ES256"}
ALIASES = {"EdDSA": "Ed25519"}
COOL_DOWN_S = 5.0
MAX_CACHED = 20_000
MAX_TOKEN_CHARS = 4096
LEEWAY_S = 5


class TokenMissing(Unauthenticated):
    """The request needs `Authorization: Bearer …`."""


class TokenInvalid(Unauthenticated):
    """The token is malformed, of another issuer, expired, or not signed by us."""


class SessionOver(Unauthenticated):
    """The session was ended; sign in again."""


@dataclass(frozen=True)
class Claims:
    subject: str
    session: str
    email: str
    expires_at: float


def caller_of(claims: Claims | None, connection: HTTPConnection, grants: tuple[Grant, ...] = ()) -> Caller:
    """Who asks, from where, and what they hold."""
    return Caller(
        subject=claims.subject if claims else "anonymous",
        name=claims.email if claims else "",
        session=claims.session if claims else None,
        address=connection.client.host if connection.client else None,
        agent=(connection.headers.get("user-agent") or "")[:200] or None,
        grants=grants,
    )


class Verifier:
    def __init__(self, asker: Asker, issuer: str, audience: str) -> None:
        self._asker = asker
        self._issuer = issuer
        self._audience = audience
        self._keys: dict[str, Key] = {}
        self._public: tuple[dict[str, Any], ...] = ()
        self._fetched_at = -COOL_DOWN_S
        self._fetching: asyncio.Task[None] | None = None
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    async def key_set(self) -> tuple[dict[str, Any], ...]:
        """The public keys, for whoever verifies our tokens elsewhere."""
        if not self._public:
            await self._fetch()
        return self._public

    async def verify(self, token: str) -> Claims:
        """Raises TokenInvalid. A token that was verified before costs a look-up until it expires."""
        known = self._verified.get(token)
        if known:
            if known.expires_at <= time.time():
                del self._verified[token]
                raise TokenInvalid("expired")
            return known
        if len(token) > MAX_TOKEN_CHARS:
            raise TokenInvalid("too long")
        claims = await self._verify_now(token)
        self._verified[token] = claims
        if len(self._verified) > MAX_CACHED:
            self._verified.popitem(last=False)
        return claims

    async def _verify_now(self, token: str) -> Claims:
        try:
            header = _header(token)
            if header.get("typ") != "at+jwt":
                raise TokenInvalid("not an access token")
            key = await self._key(str(header.get("kid", "")))
            algorithm = ALGORITHM[str(key.key_type)]
            if ALIASES.get(str(header.get("alg")), header.get("alg")) != algorithm:
                raise TokenInvalid("another algorithm than the key's")
            decoded = jwt.decode(
                token, key, algorithms=[algorithm, "EdDSA"] if algorithm == "Ed25519" else [algorithm]
            )
            registry = jwt.JWTClaimsRegistry(
                leeway=LEEWAY_S,
                iss={"essential": True, "value": self._issuer},
                aud={"essential": True, "value": self._audience},
                exp={"essential": True},
                sub={"essential": True},
                sid={"essential": True},
            )
            registry.validate(decoded.claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise TokenInvalid(type(error).__name__) from None
        claims = decoded.claims
        if float(claims["exp"]) <= time.time():
            # The leeway is for what is not valid yet. What is over stays over, remembered or not.
            raise TokenInvalid("expired")
        return Claims(
            subject=str(claims["sub"]),
            session=str(claims["sid"]),
            email=str(claims.get("email", "")),
            expires_at=float(claims["exp"]),
        )

    async def _key(self, kid: str) -> Key:
        if kid not in self._keys and time.monotonic() - self._fetched_at >= COOL_DOWN_S:
            await self._fetch()
        if kid not in self._keys:
            raise TokenInvalid("signed with a key that is not ours")
        return self._keys[kid]

    async def _fetch(self) -> None:
        """A key that is not known may be new. One question at a time, whoever waits for it."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch_now())
        await asyncio.shield(self._fetching)

    async def _fetch_now(self) -> None:
        found = await self._asker.query(GetKeys(), service_caller("gateway"))
        # The cool-down keeps forged ids from becoming load. It begins with the answer: without one nobody can
        # say that a key is not ours.
        self._fetched_at = time.monotonic()
        self._public = found.keys
        self._keys = {key["kid"]: JWKRegistry.import_key(key) for key in found.keys}


def _header(token: str) -> dict[str, Any]:
    first = token.split(".", 1)[0]
    header = orjson.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    if not isinstance(header, dict):
        raise TokenInvalid("malformed")
    return header
