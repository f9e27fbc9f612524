"""The environment of the gateway, typed."""

from __future__ import annotations

from libs.service.settings import BaseProcessSettings


class GatewaySettings(BaseProcessSettings):
    host: str = "127.0.0.1"
    # The public port; every replica listens on it.
    port: int = 8080
    # A port of this replica alone, for those who must reach a particular one.
    direct_port: int | None = None
    objects_url: str
    # Where clients reach the portal, if that is not what they put into the Host header.
    public_url: str | None = None
    # What `/` leads to: organization, environment and host application.
    home: tuple[str, str, str] = ("demo", "production", "shell")
    # The `iss` of our own tokens: the portal's public address, as identity has it.
    issuer: str = "http://127.0.0.1:8080"
    audience: str = "mes"
    # Issuers of tokens on this very machine, over http: for development and tests.
    allow_loopback_issuers: bool = False
    max_body_bytes: int = 1024 * 1024
    max_upload_bytes: int = 64 * 1024 * 1024
