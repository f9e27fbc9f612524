"""The two ceremonies of WebAuthn: what browsers are asked for, and whether what they give is that.

A challenge is sealed instead of stored, so asking for one costs nothing that could be used up. It is written
down when it is answered, in the commit that it leads to, and so answered once.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, options_to_json_dict
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from services.identity.keys.tokens import TokenMaker
from services.identity.passkeys.domain import (
    CHALLENGE_FOR,
    PasskeyInvalid,
    PasskeyRefused,
    SpentChallenge,
    StoredPasskey,
    passkey_id,
)
from services.identity.users.domain import Account

CHALLENGE = "challenge"
# Whom a challenge is for where nobody is known yet.
ANYBODY = "-"


class Answered(NamedTuple):
    """A challenge of ours, as it came back."""

    challenge: bytes
    spent: SpentChallenge


class Ceremonies:
    def __init__(self, tokens: TokenMaker, public_url: str, rp_id: str | None, name: str) -> None:
        self._tokens = tokens
        parts = urlsplit(public_url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._rp_id = rp_id or parts.hostname or "localhost"
        self._name = name

    def registration(self, account: Account, held: list[StoredPasskey], now: datetime) -> dict[str, Any]:
        options = generate_registration_options(
            rp_id=self._rp_id,
            rp_name=self._name,
            user_id=account.id.encode(),
            user_name=account.email,
            user_display_name=account.name,
            challenge=self._challenge(account.id, now),
            timeout=int(CHALLENGE_FOR.total_seconds() * 1000),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[
                PublicKeyCredentialDescriptor(id=base64url_to_bytes(one.credential)) for one in held
            ],
        )
        return options_to_json_dict(options)

    def authentication(self, now: datetime) -> dict[str, Any]:
        """Without names of passkeys: those would tell who has an account."""
        options = generate_authentication_options(
            rp_id=self._rp_id,
            challenge=self._challenge(ANYBODY, now),
            timeout=int(CHALLENGE_FOR.total_seconds() * 1000),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json_dict(options)

    def created(
        self, credential: dict[str, Any], account: Account, name: str, now: datetime
    ) -> tuple[StoredPasskey, SpentChallenge]:
        """Raises PasskeyInvalid."""
        answered = self._answered(credential, account.id, now)
        if answered is None:
            raise PasskeyInvalid("not an answer to a challenge of ours, or too late")
        try:
            verified = verify_registration_response(
                credential=credential,
                expected_challenge=answered.challenge,
                expected_rp_id=self._rp_id,
                expected_origin=self._origin,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError) as error:
            raise PasskeyInvalid(str(error)[:200]) from None
        transports = credential.get("response", {}).get("transports") or ()
        text = bytes_to_base64url(verified.credential_id)
        made = StoredPasskey(
            id=passkey_id(text),
            credential=text,
            user=account.id,
            name=name,
            public_key=bytes_to_base64url(verified.credential_public_key),
            sign_count=verified.sign_count,
            transports=tuple(str(one)[:32] for one in transports)[:8],
            synced=verified.credential_backed_up,
            created_at=now,
            revision=1,
        )
        return made, answered.spent

    def challenged(self, credential: dict[str, Any], now: datetime) -> SpentChallenge:
        """Raises PasskeyRefused unless it answers a challenge for whoever signs in."""
        answered = self._answered(credential, ANYBODY, now)
        if answered is None:
            raise PasskeyRefused("not an answer to a challenge of ours, or too late")
        return answered.spent

    def shown(self, credential: dict[str, Any], passkey: StoredPasskey, now: datetime) -> int:
        """The authenticator's counter. Raises PasskeyRefused."""
        answered = self._answered(credential, ANYBODY, now)
        handle = credential.get("response", {}).get("userHandle")
        try:
            if answered is None or (handle and base64url_to_bytes(handle) != passkey.user.encode()):
                raise ValueError("of another user")
            verified = verify_authentication_response(
                credential=credential,
                expected_challenge=answered.challenge,
                expected_rp_id=self._rp_id,
                expected_origin=self._origin,
                credential_public_key=base64url_to_bytes(passkey.public_key),
                # Our own rule looks at the counter: what it says is more than a refusal.
                credential_current_sign_count=0,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError):
            raise PasskeyRefused("the passkey was refused") from None
        return verified.new_sign_count

    def _challenge(self, who: str, now: datetime) -> bytes:
        until = str(int((now + CHALLENGE_FOR).timestamp()))
        return self._tokens.keyring.seal(CHALLENGE, secrets.token_hex(16), until, who).encode()

    def _answered(self, credential: dict[str, Any], who: str, now: datetime) -> Answered | None:
        """The challenge that was answered, if it is ours, for this purpose and still good."""
        try:
            said = json.loads(base64url_to_bytes(credential["response"]["clientDataJSON"]))
            challenge = base64url_to_bytes(said["challenge"])
            parts = self._tokens.keyring.unseal(CHALLENGE, challenge.decode("ascii"))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        if parts is None or len(parts) != 3 or parts[2] != who or int(parts[1]) < now.timestamp():
            return None
        expires_at = datetime.fromtimestamp(int(parts[1]), UTC)
        return Answered(challenge, SpentChallenge(id=parts[0], expires_at=expires_at, revision=1))
