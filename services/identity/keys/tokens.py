"""The tokens that a session is known by: signed access tokens (RFC 9068) and derived refresh tokens."""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from libs.contracts.identity import KeySet, Tokens
from services.identity.keys.domain import INVITATION, LINK, REFRESH, Keyring
from services.identity.recovery.domain import Link
from services.identity.sessions.domain import Session
from services.identity.users.domain import Account

# What every verifier can check; Ed25519 is still missing in many.
ALGORITHM = "ES256"
AUDIENCE = "mes"


class Claim(NamedTuple):
    """What a genuine refresh token says."""

    session: str
    generation: int


def new_key() -> dict[str, Any]:
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, private=True, auto_kid=True)
    return dict(key.as_dict(private=True))


def new_keyring(now: datetime) -> Keyring:
    return Keyring(
        signing=(new_key(),),
        upcoming=new_key(),
        upcoming_since=now,
        secret=secrets.token_hex(32),
        created_at=now,
        revision=1,
    )


def half_hash(token: str) -> str:
    """Ties an id token to the access token that it came with."""
    half = hashlib.sha256(token.encode()).digest()[:16]
    return urlsafe_b64encode(half).rstrip(b"=").decode()


def public(keyring: Keyring, issuer: str) -> KeySet:
    keys = (ECKey.import_key(dict(key)).as_dict(private=False) for key in keyring.published())
    return KeySet(keys=tuple(dict(key) for key in keys), issuer=issuer)


class TokenMaker:
    """Makes and reads tokens. `use` gives it the keyring, once the database has told which one won."""

    def __init__(self, issuer: str, lifetime: timedelta) -> None:
        self.lifetime = lifetime
        self.issuer = issuer
        self._keyring: Keyring | None = None

    def use(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._key = ECKey.import_key(dict(keyring.signing[0]))

    @property
    def keyring(self) -> Keyring:
        assert self._keyring is not None, "no keyring yet"
        return self._keyring

    def public(self) -> KeySet:
        return public(self.keyring, self.issuer)

    def tokens(self, session: Session, account: Account, now: datetime) -> Tokens:
        """The session's tokens in its present generation."""
        issued = int(now.timestamp())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": account.id,
            "client_id": session.client,
            "iat": issued,
            "exp": issued + int(self.lifetime.total_seconds()),
            "jti": secrets.token_hex(12),
            "sid": session.id,
            # So that a gateway can name the actor without asking.
            "email": account.email,
            "name": account.name,
        }
        if session.scope:
            claims["scope"] = session.scope
        access_token = self.sign(claims)
        return Tokens(
            access_token=access_token,
            expires_in=int(self.lifetime.total_seconds()),
            refresh_token=self.keyring.seal(REFRESH, session.id, str(session.generation)),
            session=session.id,
            scope=session.scope,
            id_token=self.id_token(session, account, access_token, now),
        )

    def sign(self, claims: dict[str, Any], typ: str = "at+jwt") -> str:
        return jwt.encode({"typ": typ, "alg": ALGORITHM, "kid": self._key.kid}, claims, self._key)

    def id_token(
        self,
        session: Session,
        account: Account,
        access_token: str,
        now: datetime,
        nonce: str | None = None,
    ) -> str | None:
        """Who signed in, when and how, for the client that asked (OpenID Connect Core, 2)."""
        asked = session.scope.split()
        if "openid" not in asked:
            return None
        issued = int(now.timestamp())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": session.client,
            "sub": account.id,
            "iat": issued,
            "exp": issued + int(self.lifetime.total_seconds()),
            "auth_time": int(session.proved_at.timestamp()),
            "amr": list(session.methods),
            "sid": session.id,
            "at_hash": half_hash(access_token),
        }
        if nonce is not None:
            claims["nonce"] = nonce
        if "profile" in asked:
            claims["name"] = account.name
        if "email" in asked:
            claims |= {"email": account.email, "email_verified": account.email_verified}
        return self.sign(claims, "JWT")

    def verified(self, token: str) -> dict[str, Any] | None:
        """What an access token of ours says, whether it has run out or not; None if it is not ours."""
        for key in self.keyring.signing:
            try:
                found = jwt.decode(token, ECKey.import_key(dict(key)), algorithms=[ALGORITHM])
            except (JoseError, ValueError, TypeError):
                continue
            ours = found.header.get("typ") == "at+jwt" and found.claims.get("iss") == self.issuer
            return dict(found.claims) if ours else None
        return None

    def claim(self, refresh_token: str) -> Claim | None:
        parts = self.keyring.unseal(REFRESH, refresh_token)
        return Claim(parts[0], int(parts[1])) if parts else None

    def invitation_token(self, organization: str, invitation: str) -> str:
        return self.keyring.seal(INVITATION, organization, invitation)

    def invitation_claim(self, token: str) -> tuple[str, str] | None:
        """The organization and the invitation that a genuine token names."""
        parts = self.keyring.unseal(INVITATION, token)
        return (parts[0], parts[1]) if parts else None

    def link_token(self, kind: str, account: Account, until: datetime) -> str:
        """What a mailed link proves itself with: good until then, and while the account is as it is."""
        parts = (account.id, str(int(until.timestamp())), str(account.credentials))
        return self.keyring.seal(f"{LINK}-{kind}", *parts)

    def link_claim(self, kind: str, token: str) -> Link | None:
        parts = self.keyring.unseal(f"{LINK}-{kind}", token)
        return Link(parts[0], int(parts[1]), int(parts[2])) if parts else None
