"""Rules of tokens that machines get: what a key or a trust rule gives, for how long. No I/O."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from typing import Any

from libs.contracts.base import Event, Moment, View
from libs.contracts.identity import KeyScope, ServiceAccount, TokenIssued
from libs.oauth import InvalidScope
from libs.permissions import ORGANIZATION_PERMISSIONS
from services.identity.accounts.domain import StoredKey, fingerprint


class MachineToken(View):
    """All that a token of a service account says; recorded instead of the token, which is signed anew for a
    repeated request and is then the same token."""

    token: str
    org: str
    account: str
    # The key or the trust rule that it was made from, and which it needs.
    by: str
    scope: KeyScope
    issued_at: Moment
    expires_at: Moment
    # Who acts (RFC 8693, 4.1): the runner whose own token was exchanged.
    runner: dict[str, str] | None = None
    exchanged: bool = False


class AccountClient:
    """A service account as Authlib asks for it, with the key that it shows."""

    def __init__(self, account: ServiceAccount, key: StoredKey | None, now: datetime) -> None:
        self.id = account.id
        self._key = key
        self._now = now

    def get_client_id(self) -> str:
        return self.id

    def check_client_secret(self, secret: str) -> bool:
        key = self._key
        if key is None or key.account != self.id:
            return False
        if key.expires_at is not None and key.expires_at <= self._now:
            return False
        return hmac.compare_digest(key.fingerprint, fingerprint(secret))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method != "none"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


def narrowed_to(scope: KeyScope, asked: str | None) -> KeyScope:
    """Permissions as an OAuth scope: who asks for few gets no more than those."""
    wanted = (asked or "").split()
    if not wanted:
        return scope
    if not set(wanted) <= ORGANIZATION_PERMISSIONS:
        raise InvalidScope("a scope is a list of permissions")
    if scope.permissions is not None and not set(wanted) <= set(scope.permissions):
        raise InvalidScope("more than the key or the rule gives")
    return scope.model_copy(update={"permissions": tuple(sorted(set(wanted)))})


def by_key(
    org: str,
    account: ServiceAccount,
    key: StoredKey,
    scope: str | None,
    lifetime: timedelta,
    now: datetime,
) -> tuple[MachineToken, list[Event]]:
    """No token outlives its key."""
    end = now + lifetime
    token = MachineToken(
        token=f"tok_{secrets.token_hex(12)}",
        org=org,
        account=account.id,
        by=key.id,
        scope=narrowed_to(key.scope, scope),
        issued_at=now,
        expires_at=min(end, key.expires_at) if key.expires_at else end,
    )
    return token, [issued(token)]


def issued(token: MachineToken, runner: str | None = None) -> Event:
    return TokenIssued(
        org=token.org,
        account=token.account,
        jti=token.token,
        by=token.by,
        expires_at=token.expires_at,
        runner=runner,
    )


def claims(token: MachineToken, issuer: str, audience: str, name: str) -> dict[str, Any]:
    """RFC 9068, with what a gateway needs to decide."""
    limit: dict[str, Any] = {"path": token.scope.path}
    if token.scope.permissions is not None:
        limit["permissions"] = list(token.scope.permissions)
    said: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "sub": token.account,
        "client_id": token.account,
        "iat": int(token.issued_at.timestamp()),
        "exp": int(token.expires_at.timestamp()),
        "jti": token.token,
        "org_id": token.org,
        "needs": [token.by],
        "limits": [limit],
        "name": name,
    }
    if token.runner:
        said["act"] = token.runner
    return said
