"""What a token is worth now (RFC 7662), from memory: active is what this gateway would accept."""

from __future__ import annotations

import base64
import math
from typing import Any

import orjson

from gateway.api_keys import looks_like_key
from gateway.claims import Claims
from gateway.directory import Directory

# Of what our own tokens say, what another may know who holds the token anyway.
_SAID = ("iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "sid", "org_id", "act")
NOTHING: dict[str, Any] = {"active": False}


def may_see(asking: Claims, found: Claims, directory: Directory) -> bool:
    """Its own holder may; and a service account, of its organization's tokens and of its members'. To
    everybody else no token is different from one that does not exist."""
    if asking.subject == found.subject and asking.org == found.org:
        return True
    if asking.org is None:
        return False
    if found.org is not None:
        return found.org == asking.org
    return bool(directory.grants(found, asking.org))


def described(token: str, found: Claims) -> dict[str, Any]:
    """`token` has been verified, and stands."""
    if looks_like_key(token):
        said: dict[str, Any] = {"sub": found.subject, "client_id": found.subject, "org_id": found.org}
        if not math.isinf(found.expires_at):
            said["exp"] = int(found.expires_at)
    else:
        payload = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        said = {name: claims[name] for name in _SAID if name in claims}
    return {"active": True, "token_type": "Bearer", **said}
