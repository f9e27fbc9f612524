"""Verifying access tokens (RFC 9068) with identity's public keys. No network but for a new key."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections import OrderedDict
from typing import Any

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from gateway.api_keys import ApiKeys, looks_like_key
from gateway.claims import Claims
from gateway.foreign.verifier import ForeignVerifier
from libs.bus.rpc import Asker
from libs.contracts.base import service_caller
from libs.contracts.identity import GetKeys, node
from libs.errors import Unauthenticated
from libs.permissions import Limit

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
    """The session was ended, or what the token was made from is gone; sign in again."""


class Verifier:
    def __init__(
        self, asker: Asker, api_keys: ApiKeys, foreign: ForeignVerifier, issuer: str, audience: str
    ) -> None:
        self._asker = asker
        self._api_keys = api_keys
        self._foreign = foreign
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

    async def verify(self, token: str, org: str | None = None, asked: bool = False) -> Claims:
        """Raises a Refusal. A token that was verified before costs a look-up until it expires.

        `org` is the organization of the request, if it has one; `asked` says that the client itself named
        it. Both matter to foreign tokens alone.
        """
        if looks_like_key(token):
            return self._api_keys.verify(token)
        known = self._verified.get(token)
        if known:
            if known.expires_at <= time.time():
                del self._verified[token]
                raise TokenInvalid("expired")
            return known
        if self._foreign.is_foreign(token, self._issuer):
            return await self._foreign.verify(token, org, asked)
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
                jti={"essential": True},
            )
            registry.validate(decoded.claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise TokenInvalid(type(error).__name__) from None
        claims = decoded.claims
        if float(claims["exp"]) <= time.time():
            # The leeway is for what is not valid yet. What is over stays over, remembered or not.
            raise TokenInvalid("expired")
        return _read(claims)

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


def _read(claims: dict[str, Any]) -> Claims:
    """What a genuine token of ours says. One for a service account names its organization, and what it was
    made from: the key or the trust rule that it needs."""
    org = claims.get("org_id")
    session = claims.get("sid")
    if not (session or org):
        raise TokenInvalid("of no session and no organization")
    return Claims(
        subject=str(claims["sub"]),
        expires_at=float(claims["exp"]),
        email=str(claims.get("email", "")),
        name=str(claims.get("name", "")),
        session=str(session) if session else None,
        scope=str(claims.get("scope", "")),
        rests_on=frozenset(str(one) for one in (session, claims["jti"]) if one),
        needs=frozenset(str(one) for one in claims.get("needs", ())),
        org=str(org) if org else None,
        limits=tuple(_limit(limit, str(org or "")) for limit in claims.get("limits", ())),
    )


def _limit(limit: dict[str, Any], org: str) -> Limit:
    permissions = limit.get("permissions")
    return Limit(
        None if permissions is None else frozenset(permissions),
        node(org, str(limit.get("path", ""))) if org else None,
    )
