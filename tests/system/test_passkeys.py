"""Passkeys in a real browser: Chromium with a virtual authenticator adds one, and signs in with it alone."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import CDPSession, Page, async_playwright

from deploy.local import LocalPortal
from tests.portal import Person, somebody

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="NO BROWSER: passkeys were NOT tested in one. Install it: apt-get install chromium",
)

ADD = """async ([token, name]) => {
    const send = async (path, body) => (await fetch(path, {
        method: 'POST',
        headers: {'content-type': 'application/json', authorization: `Bearer ${token}`},
        body: JSON.stringify(body),
    })).json();
    const {options} = await send('/v1/me/passkeys/challenge', {});
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    const credential = await navigator.credentials.create({publicKey});
    return send('/v1/me/passkeys', {name, credential: credential.toJSON()});
}"""
SIGN_IN = """async () => {
    const send = async (path, body) => {
        const headers = {'content-type': 'application/json'};
        const answer = await fetch(path, {method: 'POST', headers, body: JSON.stringify(body)});
        return {status: answer.status, body: await answer.json()};
    };
    const {options} = (await send('/v1/sessions/passkey/challenge', {})).body;
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    try {
        const credential = await navigator.credentials.get({publicKey});
        return await send('/v1/sessions/passkey', {credential: credential.toJSON()});
    } catch (error) {
        return {status: 0, body: {code: error.name}};
    }
}"""


@dataclass
class Device:
    """A browser with an authenticator that the test controls."""

    page: Page
    cdp: CDPSession
    authenticator: str

    async def signs_in(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.page.evaluate(SIGN_IN)
        return found

    async def verifies(self, whether: bool) -> None:
        await self.cdp.send(
            "WebAuthn.setUserVerified", {"authenticatorId": self.authenticator, "isUserVerified": whether}
        )


@pytest.fixture
async def device(portal: LocalPortal) -> AsyncIterator[Device]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page()
        cdp = await page.context.new_cdp_session(page)
        await cdp.send("WebAuthn.enable")
        made = await cdp.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "transport": "internal",
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                }
            },
        )
        # By name, as the settings say: browsers keep passkeys for no bare number.
        await page.goto(portal.url.replace("127.0.0.1", "localhost") + "/livez")
        yield Device(page, cdp, made["authenticatorId"])
        await browser.close()


@pytest.fixture
async def ada(portal: LocalPortal) -> Person:
    return await somebody(portal.url)


async def test_a_browser_adds_a_passkey_and_signs_in_with_it_alone(device: Device, ada: Person) -> None:
    added = await device.page.evaluate(ADD, [ada.token, "This laptop"])
    assert added["name"] == "This laptop", added
    for _ in range(2):
        opened = await device.signs_in()
        assert opened["status"] == 201, opened
        ada.http.headers["authorization"] = f"Bearer {opened['body']['access_token']}"
        assert (await ada.call("GET", "/v1/me", 200)).json()["id"] == ada.id
    found = (await ada.call("GET", "/v1/me/passkeys", 200)).json()["items"]
    assert [(one["name"], one["used_at"] is not None) for one in found] == [("This laptop", True)]


async def test_a_browser_refuses_where_its_user_is_not_verified(device: Device, ada: Person) -> None:
    await device.page.evaluate(ADD, [ada.token, "This laptop"])
    await device.verifies(False)
    assert (await device.signs_in())["body"]["code"] == "NotAllowedError"


async def test_a_cloned_authenticator_is_found_out(device: Device, ada: Person) -> None:
    await device.page.evaluate(ADD, [ada.token, "This laptop"])
    before = await device.cdp.send("WebAuthn.getCredentials", {"authenticatorId": device.authenticator})
    assert (await device.signs_in())["status"] == 201
    # The same key with the counter that it had before: a copy.
    (copy,) = before["credentials"]
    remove = {"authenticatorId": device.authenticator, "credentialId": copy["credentialId"]}
    await device.cdp.send("WebAuthn.removeCredential", remove)
    add = {"authenticatorId": device.authenticator, "credential": copy}
    await device.cdp.send("WebAuthn.addCredential", add)
    refused = await device.signs_in()
    assert (refused["status"], refused["body"]["code"]) == (401, "passkey_cloned")


async def test_a_passkey_that_was_removed_here_signs_in_no_more(device: Device, ada: Person) -> None:
    added = await device.page.evaluate(ADD, [ada.token, "This laptop"])
    await ada.call("DELETE", f"/v1/me/passkeys/{added['id']}", 204)
    refused = await device.signs_in()
    assert (refused["status"], refused["body"]["code"]) == (401, "passkey_refused")
