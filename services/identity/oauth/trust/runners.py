"""Tokens of runners, verified with the keys of the platform that made them. The network is here."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import orjson
from joserfc import jwt
from joserfc.errors import JoseError

from libs.jwks import KeySets, KeysUnknown, algorithms_of
from libs.oauth import InvalidGrant

# What the platforms sign with. No other, whatever else a key could do.
ALGORITHMS = frozenset({"RS256", "ES256"})


def unverified(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims as they are written: enough to know whom to ask, and for nothing else."""
    parts = token.split(".")
    if len(parts) != 3:
        raise InvalidGrant("the subject token is no signed token")
    try:
        header, claims = (
            orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2]
        )
    except ValueError:
        raise InvalidGrant("the subject token is no signed token") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise InvalidGrant("the subject token is no signed token")
    return header, claims


async def verified(token: str, issuer: str, keys: KeySets) -> Mapping[str, Any]:
    """What the token says, if the issuer signed it. Raises InvalidGrant."""
    header, _ = unverified(token)
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS or "crit" in header:
        raise InvalidGrant("the subject token is not signed as it has to be")
    try:
        key, _ = await keys.key(issuer, None, str(header.get("kid", "")))
    except KeysUnknown:
        raise InvalidGrant("the keys of the issuer could not be had") from None
    if key is None or algorithm not in algorithms_of(key):
        raise InvalidGrant("the subject token is signed with no key of its issuer")
    try:
        claims = jwt.decode(token, key, algorithms=[str(algorithm)]).claims
    except (JoseError, ValueError, TypeError, KeyError):
        raise InvalidGrant("the subject token is not what its issuer signed") from None
    if claims.get("iss") != issuer:
        raise InvalidGrant("the subject token is of another issuer")
    return claims
