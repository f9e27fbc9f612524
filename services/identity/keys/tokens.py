"""The tokens that a session is known by: signed access tokens (RFC 9068) and derived refresh tokens."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from joserfc import jwt
from joserfc.jwk import ECKey

from libs.contracts.identity import KeySet, Tokens
from services.identity.keys.domain import INVITATION, REFRESH, Keyring
from services.identity.sessions.domain import Session
from services.identity.users.domain import Account

# What every verifier can check; Ed25519 is still missing in many.
ALGORITHM = "ES256"
AUDIENCE = "mes"
CLIENT = "mes"


class Claim(NamedTuple):
    """What a genuine refresh token says."""

    session: str
    generation: int


def new_keyring(now: datetime) -> Keyring:
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, private=True, auto_kid=True)
    return Keyring(
        signing=(dict(key.as_dict(private=True)),), secret=secrets.token_hex(32), created_at=now, revision=1
    )


class TokenMaker:
    """Makes and reads tokens. `use` gives it the keyring, once the database has told which one won."""

    def __init__(self, issuer: str, lifetime: timedelta) -> None:
        self.lifetime = lifetime
        self._issuer = issuer
        self._keyring: Keyring | None = None

    def use(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._key = ECKey.import_key(dict(keyring.signing[0]))

    @property
    def keyring(self) -> Keyring:
        assert self._keyring is not None, "no keyring yet"
        return self._keyring

    def public(self) -> KeySet:
        keys = (ECKey.import_key(dict(key)).as_dict(private=False) for key in self.keyring.signing)
        return KeySet(keys=tuple(dict(key) for key in keys), issuer=self._issuer)

    def tokens(self, session: Session, account: Account, now: datetime) -> Tokens:
        """The session's tokens in its present generation."""
        issued = int(now.timestamp())
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": account.id,
            "client_id": CLIENT,
            "iat": issued,
            "exp": issued + int(self.lifetime.total_seconds()),
            "jti": secrets.token_hex(12),
            "sid": session.id,
            # So that a gateway can name the actor without asking.
            "email": account.email,
            "name": account.name,
        }
        header = {"typ": "at+jwt", "alg": ALGORITHM, "kid": self._key.kid}
        return Tokens(
            access_token=jwt.encode(header, claims, self._key),
            expires_in=int(self.lifetime.total_seconds()),
            refresh_token=self.keyring.seal(REFRESH, session.id, str(session.generation)),
            session=session.id,
        )

    def claim(self, refresh_token: str) -> Claim | None:
        parts = self.keyring.unseal(REFRESH, refresh_token)
        return Claim(parts[0], int(parts[1])) if parts else None

    def invitation_token(self, organization: str, invitation: str) -> str:
        return self.keyring.seal(INVITATION, organization, invitation)

    def invitation_claim(self, token: str) -> tuple[str, str] | None:
        """The organization and the invitation that a genuine token names."""
        parts = self.keyring.unseal(INVITATION, token)
        return (parts[0], parts[1]) if parts else None
