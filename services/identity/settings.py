"""The environment of identity, typed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import EmailStr, Field, SecretStr

from libs.contracts.identity import Password
from libs.service.settings import ServiceSettings
from services.identity.oauth.clients import RegisteredClient


class IdentitySettings(ServiceSettings):
    # The operator's account, made at the first start. Changing either later changes no account.
    admin_email: EmailStr
    admin_password: Password
    # The `iss` of tokens: the portal's public address, under which clients find its discovery document.
    issuer: str = "http://127.0.0.1:8080"
    # Where the portal's own front end takes codes; without any, `/app/callback` of the issuer.
    portal_redirects: tuple[str, ...] = ()
    # Further clients that people may sign in to.
    oauth_clients: tuple[RegisteredClient, ...] = ()
    # Issuers of tokens on this very machine, over http: for development and tests.
    allow_loopback_issuers: bool = False
    access_token_lifetime: timedelta = timedelta(minutes=10)
    # Counted from the last refresh.
    refresh_token_lifetime: timedelta = timedelta(days=30)
    # argon2id, at the least that OWASP advises.
    argon2_memory_kib: int = Field(default=19_456, ge=8)
    argon2_passes: int = Field(default=2, ge=1)
    argon2_lanes: int = Field(default=1, ge=1)
    # Registration tells nobody whether an address has an account; a link that is mailed there makes it count.
    # Needs mail. Off, registration answers the user, and 409 where there is one.
    verify_email: bool = False
    # Where people reach the portal: what mailed links lead to, and the origin that passkeys are bound to.
    public_url: str = "http://localhost:8080"
    # The domain of passkeys, if that is not the host of the public address. Changing it loses them all.
    passkey_domain: str | None = None
    # How authenticator apps and passkeys call the portal.
    portal_name: str = "MES Portal"
    # Changing what an account is signed in with takes a sign-in no older than this.
    recent_sign_in: timedelta = timedelta(minutes=15)
    # Mail goes to this folder, a file for each letter, or else to this SMTP server, or else nowhere.
    mail_folder: Path | None = None
    mail_from: EmailStr = "portal@example.com"
    smtp_host: str | None = None
    smtp_port: int = 587
    smtp_security: Literal["tls", "starttls", "none"] = "starttls"
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    # Wrong sign-ins that are free within an hour, before each one more doubles the wait: by account and
    # address together, by account whatever the address, by address whatever the account.
    wrong_sign_ins_by_pair: int = Field(default=5, ge=1)
    wrong_sign_ins_by_account: int = Field(default=50, ge=1)
    wrong_sign_ins_by_address: int = Field(default=2_000, ge=1)
    # Wrong codes of an authenticator app, or recovery codes, by account.
    wrong_codes: int = Field(default=5, ge=1)
    # Registrations from one address within an hour.
    registrations_by_address: int = Field(default=10_000, ge=1)
    # Links that are asked for within an hour: for one account from one address, and from one address.
    mails_by_pair: int = Field(default=5, ge=1)
    mails_by_address: int = Field(default=2_000, ge=1)
    # How often the signing key changes by itself. Days, as in P30D; without it only an operator changes it.
    key_rotation: timedelta | None = timedelta(days=30)
    # How long a key is published before it signs.
    key_published_first: timedelta = timedelta(minutes=5)
