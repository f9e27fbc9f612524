"""A real OpenID provider that is not ours, as a process of its own, as an organization's way to sign in."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from deploy.local import LocalPortal
from tests.gateway.conftest import eventually
from tests.nodes import running
from tests.portal import Person, somebody
from tests.system.live import LiveClient

RESOURCE = "https://portal.example.org"
CALLBACK = "http://127.0.0.1:9/callback"


def a_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def provider(port: int, folder: Path) -> Iterator[str]:
    """With a key of its own: another process on the same port has rotated it."""
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
    keys = folder / f"{secrets.token_hex(4)}.json"
    keys.write_text(json.dumps({"keys": [key.as_dict(private=True)]}))
    with running("provider.mjs", str(port), str(keys)):
        yield f"http://127.0.0.1:{port}"


async def signs_in(issuer: str, user: str) -> dict[str, str]:
    """The provider's own flow: code with PKCE, as a browser and the company's page would go through it."""
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "client_id": "shop",
        "response_type": "code",
        "scope": "openid email",
        "redirect_uri": CALLBACK,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "login_hint": user,
    }
    async with httpx.AsyncClient(base_url=issuer, timeout=20) as browser:
        answer = await browser.get("/auth", params=asked)
        for _ in range(10):
            assert answer.status_code in (302, 303), answer.text
            location = answer.headers["location"]
            if location.startswith(CALLBACK):
                break
            answer = await browser.get(location)
        code = parse_qs(urlsplit(location).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        form |= {"client_id": "shop", "code_verifier": verifier}
        tokens = await browser.post("/token", data=form)
        assert tokens.status_code == 200, tokens.text
        found: dict[str, str] = tokens.json()
        return found


@pytest.fixture
async def owner(portal: LocalPortal) -> Person:
    return await somebody(portal.gateways[0])


async def status(url: str, token: str) -> int:
    async with httpx.AsyncClient(timeout=30) as http:
        return (await http.get(url, headers={"authorization": f"Bearer {token}"})).status_code


async def is_answered(url: str, token: str, wanted: int) -> bool:
    return await status(url, token) == wanted


def has_an_answer(client: LiveClient) -> bool:
    return "apps" in client.answers


def is_closed(client: LiveClient) -> bool:
    return client.closed is not None


async def test_a_provider_that_is_not_ours_signs_people_in_until_it_is_no_longer_trusted(
    portal: LocalPortal, owner: Person, tmp_path: Path
) -> None:
    org, port = await owner.make_org(), a_port()
    below = f"/v1/orgs/{org}"
    with provider(port, tmp_path) as issuer:
        settings = {
            "kind": "oidc",
            "issuer": issuer,
            "audiences": [RESOURCE],
            "authorized_parties": ["shop"],
            "algorithms": ["RS256"],
            "roles": {"emma-group": "admin"},
            "joining": True,
        }
        trusted = await owner.call(
            "POST", f"{below}/identity-providers", 201, json={"name": "Corp", "settings": settings}
        )
        emma, noah = [(await signs_in(issuer, name))["access_token"] for name in ("emma", "noah")]
        for gateway in portal.gateways:
            log = f"{gateway}{below}/audit/events"
            await eventually(partial(is_answered, log, emma, 200), "the mapped role counts")
            assert await status(log, noah) == 403
            assert await status(f"{gateway}{below}", noah) == 200
        # The same person at both gateways, made once.
        members = (await owner.call("GET", f"{below}/members", 200)).json()["items"]
        assert len(members) == 3
        clients = [await LiveClient.open(gateway, emma) for gateway in portal.gateways]
        for client in clients:
            await client.subscribe("apps", "registry.list_apps", org=org)
            await client.until(partial(has_an_answer, client))
    with provider(port, tmp_path) as issuer:
        # Another key signs from here on.
        again = (await signs_in(issuer, "emma"))["access_token"]
        for gateway in portal.gateways:
            await eventually(partial(is_answered, f"{gateway}{below}", again, 200), "the new key is known")
        await owner.call("DELETE", f"{below}/identity-providers/{trusted.json()['id']}", 204)
        for gateway, client in zip(portal.gateways, clients, strict=True):
            await eventually(partial(is_answered, f"{gateway}{below}", again, 401), "it is trusted no more")
            await client.until(partial(is_closed, client))
            assert client.closed == 4401
    await owner.http.aclose()
