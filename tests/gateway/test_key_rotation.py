"""An operator changes the signing key, and every gateway follows without a restart."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import httpx
import pytest

from deploy.local import LocalPortal
from tests.gateway.refusals import problem
from tests.gateway.test_account import again
from tests.portal import Person, signed_in, somebody

WITHIN_S = 20.0


@pytest.fixture
async def operator(portal: LocalPortal) -> Person:
    return await signed_in(portal.url, portal.admin.email, portal.admin.password)


def kid(token: str) -> str:
    header = token.split(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=="))["kid"])


async def published(gateway: str) -> list[str]:
    async with httpx.AsyncClient(base_url=gateway) as http:
        return [key["kid"] for key in (await http.get("/.well-known/jwks.json")).json()["keys"]]


async def works(token: str, gateway: str) -> bool:
    async with httpx.AsyncClient(base_url=gateway) as http:
        answer = await http.get("/v1/me", headers={"authorization": f"Bearer {token}"})
        return answer.status_code == 200


async def test_every_gateway_publishes_and_takes_the_new_keys(portal: LocalPortal, operator: Person) -> None:
    ada = await somebody(portal.url)
    before: list[Any] = [await published(gateway) for gateway in portal.gateways]
    # Twice, so that the key in use was made while the gateways ran.
    for _ in range(2):
        rotated = (await operator.call("POST", "/v1/operations/keys/rotate", 200)).json()
        for gateway in portal.gateways:
            deadline = time.monotonic() + WITHIN_S
            while not {rotated["current"], rotated["next"]} <= set(await published(gateway)):
                assert time.monotonic() < deadline, "a gateway does not follow"
                await asyncio.sleep(0.02)
    assert rotated["current"] not in before[0]
    fresh = await again(ada)
    assert kid(fresh.token) == rotated["current"]
    assert kid(ada.token) in rotated["previous"]
    for gateway in portal.gateways:
        assert await works(fresh.token, gateway)
        assert await works(ada.token, gateway), "what the former key signed is good until it runs out"


async def test_nobody_else_changes_the_key(portal: LocalPortal) -> None:
    ada = await somebody(portal.url)
    problem(await ada.call("POST", "/v1/operations/keys/rotate"), 403, "permission_missing")
