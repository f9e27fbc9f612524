"""The environment of identity, typed."""

from __future__ import annotations

from datetime import timedelta

from pydantic import EmailStr, Field

from libs.contracts.identity import Password
from libs.service.settings import ServiceSettings


class IdentitySettings(ServiceSettings):
    # The operator's account, made at the first start. Changing either later changes no account.
    admin_email: EmailStr
    admin_password: Password
    # The `iss` of access tokens.
    issuer: str = "mes"
    access_token_lifetime: timedelta = timedelta(minutes=10)
    # Counted from the last refresh.
    refresh_token_lifetime: timedelta = timedelta(days=30)
    # argon2id, at the least that OWASP advises.
    argon2_memory_kib: int = Field(default=19_456, ge=8)
    argon2_passes: int = Field(default=2, ge=1)
    argon2_lanes: int = Field(default=1, ge=1)
