"""Nothing that OAuth hands out stands in a log, a trace or a database."""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient

from deploy.local import LocalPortal
from tests.gateway.browser import VERIFIER, Browser
from tests.gateway.test_oauth import a_device, an_account, poll
from tests.portal import somebody


async def test_what_is_handed_out_is_kept_nowhere(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    org = await person.make_org()
    account, _, key = await an_account(person, org)
    async with Browser(portal.url) as browser:
        code = (await browser.authorizes(person.email))["code"]
        await browser.redeems(code, code_verifier="w" * 64)
        granted = (await browser.redeems(code)).json()
        device = await a_device(browser)
        await poll(browser, device)
        cookie = next(value for name, value in browser.http.cookies.items() if "browser" in name)
        machine = await browser.http.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(account, key),
            headers={"idempotency-key": "once"},
        )
        assert machine.status_code == 200, machine.text
        await browser.http.post(
            "/oauth/introspect", data={"token": granted["access_token"]}, auth=(account, key)
        )
        unused = (await browser.authorizes(person.email, prompt="login"))["code"]
    secrets = {
        "code": code,
        "code that is still good": unused,
        "verifier": VERIFIER,
        "cookie": cookie,
        "device code": device["device_code"],
        "access token": granted["access_token"],
        "refresh token": granted["refresh_token"],
        "id token": granted["id_token"],
        "key": key,
        "token of a machine": machine.json()["access_token"],
    }
    files = [path for name in ("logs", "traces") for path in (portal.folder.path / name).iterdir()]
    assert len(files) > 10
    for file in files:
        text = file.read_bytes()
        found = [what for what, secret in secrets.items() if secret.encode() in text]
        assert not found, f"{file.name} holds the {found}"
    seen = 0
    with MongoClient[dict[str, Any]](portal.mongo_admin_url) as client:
        for service in ("identity", "audit"):
            for collection in client[service].list_collection_names():
                for document in client[service][collection].find():
                    seen += 1
                    text = repr(document).encode()
                    found = [what for what, secret in secrets.items() if secret.encode() in text]
                    assert not found, f"{service}.{collection} holds the {found}"
    assert seen > 50
