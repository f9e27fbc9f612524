"""Clients with a secret, before Authlib's rules: how they show it, and what nobody gets without."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from pydantic import SecretStr

from libs.contracts.identity import ClientProof
from libs.oauth import InvalidClient, InvalidGrant
from services.identity.oauth import server
from services.identity.oauth.clients import Clients, RegisteredClient
from services.identity.oauth.codes.domain import Code
from services.identity.settings import IdentitySettings
from tests.gateway.browser import VERIFIER, a_challenge

SECRET = "a secret: with / odd + characters, é"
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()
REDIRECT = "https://shop.example/callback"
SHOP = RegisteredClient(id="shop", name="Shop", redirect_uris=(REDIRECT,), secret_sha256=DIGEST)
PUBLIC = RegisteredClient(id="page", name="Page", redirect_uris=(REDIRECT,))
CLIENTS = Clients((SHOP, PUBLIC))


def redeem(proof: ClientProof, client: str = "shop") -> Any:
    moment = "2026-07-01T12:00:00Z"
    fields = {"user": "usr_1", "methods": ("pwd",), "authenticated_at": moment, "expires_at": moment}
    asked = {"redirect_uri": REDIRECT, "scope": "", "nonce": None, "code_challenge": a_challenge()}
    code = Code(id="cod_1", client=client, **fields, **asked)
    form = {
        "grant_type": "authorization_code",
        "code": "c",
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
    }
    return server.check_code(form, proof, CLIENTS.get, code)


@pytest.mark.parametrize("basic", [True, False])
def test_a_client_shows_its_secret_by_header_or_form(basic: bool) -> None:
    assert redeem(ClientProof(id="shop", secret=SecretStr(SECRET), basic=basic)) is SHOP


@pytest.mark.parametrize("basic", [True, False])
@pytest.mark.parametrize("secret", [None, "", "wrong", DIGEST])
def test_a_client_that_has_a_secret_gets_nothing_without(secret: str | None, basic: bool) -> None:
    with pytest.raises(InvalidClient):
        redeem(ClientProof(id="shop", secret=None if secret is None else SecretStr(secret), basic=basic))


def test_a_client_without_a_secret_cannot_have_one() -> None:
    assert redeem(ClientProof(id="page"), client="page") is PUBLIC
    with pytest.raises(InvalidClient):
        redeem(ClientProof(id="page", secret=SecretStr("x")), client="page")


def test_a_secret_does_not_open_another_clients_code() -> None:
    with pytest.raises(InvalidGrant):
        redeem(ClientProof(id="shop", secret=SecretStr(SECRET)), client="page")


def test_a_client_with_a_secret_shows_it_to_refresh_too() -> None:
    CLIENTS.check("shop", "shop", SecretStr(SECRET))
    for secret in (None, SecretStr("wrong")):
        with pytest.raises(InvalidClient):
            CLIENTS.check("shop", "shop", secret)
    with pytest.raises(InvalidGrant):
        CLIENTS.check("browser", "browser", None)


def test_clients_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MES_OAUTH_CLIENTS", f"[{SHOP.model_dump_json()}]")
    for name, value in {"AMQP_URL": "amqp://x", "MONGO_URL": "mongodb://x"}.items():
        monkeypatch.setenv(f"MES_{name}", value)
    monkeypatch.setenv("MES_ADMIN_EMAIL", "admin@example.org")
    monkeypatch.setenv("MES_ADMIN_PASSWORD", "the operator's own phrase")
    assert IdentitySettings().oauth_clients == (SHOP,)
