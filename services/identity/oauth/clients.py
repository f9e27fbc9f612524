"""Clients that people may sign in to, from the settings, and what each of them may ask for. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from typing import Annotated, Literal, Self, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr, StringConstraints, model_validator

from libs.contracts.base import Frozen
from libs.oauth import InvalidClient, InvalidGrant

GrantType = Literal["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"]
CODE: GrantType = "authorization_code"
REFRESH: GrantType = "refresh_token"
DEVICE: GrantType = "urn:ietf:params:oauth:grant-type:device_code"
Scope = Literal["openid", "profile", "email", "offline_access"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

# What a browser signs in to where no client asks.
BROWSER = "browser"
# Sessions that were opened by `POST /v1/sessions`.
DIRECTLY = "mes"


class RegisteredClient(Frozen):
    """One client. `native` runs on the person's own machine, so it keeps no secret, and its loopback
    redirects may have any port (RFC 8252). `first_party` is ours: nobody is asked whether it may."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,39}$")]
    name: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    redirect_uris: tuple[str, ...] = ()
    native: bool = False
    first_party: bool = False
    grants: tuple[GrantType, ...] = ("authorization_code", "refresh_token")
    scopes: tuple[Scope, ...] = ("openid", "profile", "email", "offline_access")
    # The SHA-256 of the secret in hex: such a secret is random, so nothing slower is needed.
    secret_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _redirects_are_safe(self) -> Self:
        for uri in self.redirect_uris:
            check_redirect(uri, self.native)
        if self.native and self.secret_sha256:
            raise ValueError("a native client keeps no secret")
        if self.id in (BROWSER, DIRECTLY):
            raise ValueError(f"{self.id} is taken")
        return self

    def may_redirect_to(self, uri: str) -> bool:
        """Exactly one that is registered; for a native client at loopback, whatever the port."""
        if uri in self.redirect_uris:
            return True
        if not self.native:
            return False
        asked = _loopback_without_port(uri)
        return asked is not None and any(asked == _loopback_without_port(one) for one in self.redirect_uris)

    def allowed_scope(self, scope: str | None) -> str | None:
        """In a steady order; None if it is more than the client may ask for."""
        asked = set((scope or "").split())
        if not asked <= set(self.scopes):
            return None
        return " ".join(one for one in SCOPES if one in asked)

    # What Authlib asks of a client.

    def get_client_id(self) -> str:
        return self.id

    def get_default_redirect_uri(self) -> None:
        """None: the address that an answer goes to is always said."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        return self.allowed_scope(scope)

    def check_redirect_uri(self, uri: str) -> bool:
        return self.may_redirect_to(uri)

    def check_client_secret(self, secret: str) -> bool:
        shown = hashlib.sha256(secret.encode()).hexdigest()
        return self.secret_sha256 is not None and hmac.compare_digest(shown, self.secret_sha256)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """A client with a secret shows it; one without has nothing to show."""
        return (method == "none") == (self.secret_sha256 is None)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and CODE in self.grants

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.grants


class Clients:
    """All of them, by id."""

    def __init__(self, clients: Iterable[RegisteredClient]) -> None:
        self._clients: dict[str, RegisteredClient] = {}
        for client in clients:
            if client.id in self._clients:
                raise ValueError(f"two clients are called {client.id}")
            self._clients[client.id] = client

    def get(self, client: str) -> RegisteredClient | None:
        return self._clients.get(client)

    def check(self, opened_for: str, shown: str | None, secret: SecretStr | None) -> None:
        """Refuses a refresh token in the hands of another client than it was given to."""
        if opened_for == DIRECTLY and shown is None:
            return
        if shown != opened_for:
            raise InvalidGrant("the refresh token was given to another client")
        client = self.get(opened_for)
        if client is None:
            if opened_for == DIRECTLY:
                return
            raise InvalidGrant("the client is no longer registered")
        if client.secret_sha256 and not client.check_client_secret(
            secret.get_secret_value() if secret else ""
        ):
            raise InvalidClient("the client has to show its secret")
        if REFRESH not in client.grants:
            raise InvalidGrant("the client may not refresh")


NO_CLIENTS = Clients(())


def built_in(issuer: str, portal_redirects: Iterable[str]) -> list[RegisteredClient]:
    """The portal's own front end, and its command line."""
    redirects = tuple(portal_redirects) or (f"{issuer}/app/callback",)
    return [
        RegisteredClient(id="mes-portal", name="MES Portal", redirect_uris=redirects, first_party=True),
        RegisteredClient(
            id="mes-cli",
            name="MES command line",
            redirect_uris=("http://127.0.0.1/callback", "http://[::1]/callback"),
            native=True,
            grants=(CODE, REFRESH, DEVICE),
        ),
    ]


def check_redirect(uri: str, native: bool) -> None:
    """Raises ValueError for an address that no code should ever be sent to."""
    parts = urlsplit(uri)
    if "#" in uri or parts.username is not None or not uri.isascii() or not uri.isprintable() or "\\" in uri:
        raise ValueError(f"{uri!r} is no address to redirect to")
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and is_loopback(parts):
        return
    # An app's own scheme is a domain of its maker, backwards (RFC 8252, 7.1).
    if native and "." in parts.scheme:
        return
    raise ValueError(f"{uri!r} has to be https, at loopback, or a native client's own scheme")


def is_loopback(parts: SplitResult) -> bool:
    """An address, not a name: a name may lead elsewhere."""
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def origin_of(uri: str) -> str:
    """Where a page may lead to, in the words of a content security policy."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else f"{parts.scheme}:"


def _loopback_without_port(uri: str) -> tuple[str, str, str, str] | None:
    if not uri.isascii() or not uri.isprintable() or "\\" in uri or "#" in uri:
        return None
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or not is_loopback(parts) or "@" in parts.netloc:
        return None
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
    if parts.netloc not in (host, f"{host}:{port}"):
        # Nothing beside the host and the port.
        return None
    return parts.scheme, str(parts.hostname), parts.path, parts.query
