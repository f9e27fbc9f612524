"""OAuth through the front door: codes, devices, client credentials, revocation, introspection, discovery."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from deploy.local import LocalPortal
from tests.gateway.browser import CLI, Browser, a_request, answer_of
from tests.gateway.conftest import eventually
from tests.portal import PASSWORD, Person, somebody

BEARER = "urn:ietf:params:oauth:token-type:access_token"


async def me(url: str, token: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        return await http.get("/v1/me", headers={"authorization": f"Bearer {token}"})


async def an_account(owner: Person, org: str, **scope: Any) -> tuple[str, str, str]:
    """A service account that is an admin, with one key: its id, the key's id, the key."""
    made = await owner.call(
        "POST", f"/v1/orgs/{org}/service-accounts", 201, json={"slug": "ci", "name": "CI"}
    )
    account = made.json()["id"]
    subject = {"type": "service_account", "id": account}
    await owner.call(
        "POST",
        f"/v1/orgs/{org}/assignments",
        201,
        json={"subject": subject, "role": "admin", "resource": org},
    )
    key = await owner.call(
        "POST", f"/v1/orgs/{org}/service-accounts/{account}/keys", 201, json={"name": "k", **scope}
    )
    return account, key.json()["id"], key.json()["key"]


# ---- codes ----


async def test_somebody_signs_in_to_a_client_and_it_knows_who_they_are(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser:
        request = a_request()
        await browser.get("/oauth/authorize", request)
        assert browser.page.status_code == 200
        assert "MES command line" in browser.page.text
        answer = answer_of(await browser.signs_in(person.email))
        assert (answer["state"], answer["iss"]) == (request["state"], portal.url)
        granted = (await browser.redeems(answer["code"])).json()
        assert granted["token_type"] == "Bearer"
        assert granted["scope"] == request["scope"]
        keys = KeySet.import_key_set((await browser.http.get("/.well-known/jwks.json")).json())
        said = jwt.decode(granted["id_token"], keys, algorithms=["ES256"]).claims
        assert (said["iss"], said["aud"], said["nonce"]) == (portal.url, "mes-cli", request["nonce"])
        assert (said["sub"], said["email"], said["name"]) == (person.id, person.email, "Test Person")
        assert abs(said["auth_time"] - time.time()) < 60
        assert said["amr"] == ["pwd"]
        access = jwt.decode(granted["access_token"], keys, algorithms=["ES256"])
        assert access.header["typ"] == "at+jwt"
        assert (access.claims["client_id"], access.claims["sid"]) == ("mes-cli", said["sid"])
        assert (await me(portal.url, granted["access_token"])).json()["id"] == person.id
        told = await browser.http.get(
            "/oauth/userinfo", headers={"authorization": f"Bearer {granted['access_token']}"}
        )
        assert told.json() == {
            "sub": person.id,
            "name": "Test Person",
            "email": person.email,
            "email_verified": False,
        }


async def test_a_clients_tokens_are_those_of_a_session_like_any_other(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser:
        first = (await browser.redeems((await browser.authorizes(person.email))["code"])).json()
        sessions = (await person.call("GET", "/v1/sessions", 200)).json()["items"]
        assert {one["client"] for one in sessions} == {"mes", "mes-cli", "browser"}
        form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        second = (await browser.token(**form, client_id="mes-cli")).json()
        assert second["refresh_token"] != first["refresh_token"]
        assert second["id_token"]
        await person.call("DELETE", f"/v1/sessions/{first['session']}", 204)
        assert (await me(portal.gateways[0], second["access_token"])).status_code == 401
        refused = await browser.token(
            grant_type="refresh_token", refresh_token=second["refresh_token"], client_id="mes-cli"
        )
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_without_offline_access_there_is_nothing_to_refresh_with(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser:
        answer = await browser.authorizes(person.email, scope="openid")
        granted = (await browser.redeems(answer["code"])).json()
    assert "refresh_token" not in granted
    assert (await me(portal.url, granted["access_token"])).status_code == 200


async def test_a_browser_that_is_signed_in_is_asked_only_what_it_must_be(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    redirect = f"{portal.url}/app/callback"
    ours = {"client_id": "mes-portal", "redirect_uri": redirect}
    async with Browser(portal.url) as browser:
        asked = await browser.get("/oauth/authorize", a_request(**ours, prompt="none"))
        assert answer_of(asked)["error"] == "login_required"
        await browser.authorizes(person.email)
        # Our own front end is let in at once, a program on this machine only after a yes.
        assert "code" in answer_of(await browser.get("/oauth/authorize", a_request(**ours)))
        assert "code" in answer_of(await browser.get("/oauth/authorize", a_request(**ours, prompt="none")))
        consent = await browser.get("/oauth/authorize", a_request())
        assert f"signed in as {person.email}" in consent.text
        assert "code" in answer_of(await browser.submit({"action": "allow"}))
        none = await browser.get("/oauth/authorize", a_request(prompt="none"))
        assert answer_of(none)["error"] == "interaction_required"
        await browser.get("/oauth/authorize", a_request())
        assert answer_of(await browser.submit({"action": "deny"}))["error"] == "access_denied"
        for again in ({"prompt": "login"}, {"max_age": "0"}, {"login_hint": "another@example.org"}):
            page = await browser.get("/oauth/authorize", a_request(**ours, **again))
            assert "current-password" in page.text, again
            # The cookie alone does not do where a new sign-in was asked for.
            refused = await browser.submit({"action": "allow"})
            assert refused.status_code == 401, again
        # Signing the browser out at the portal ends it.
        items = (await person.call("GET", "/v1/sessions", 200)).json()["items"]
        for session in items:
            if session["client"] == "browser":
                await person.call("DELETE", f"/v1/sessions/{session['id']}", 204)
        page = await browser.get("/oauth/authorize", a_request(**ours))
        assert "current-password" in page.text


# ---- devices ----


async def a_device(browser: Browser) -> dict[str, Any]:
    started = await browser.http.post("/oauth/device_authorization", data={"client_id": "mes-cli"})
    assert started.status_code == 200, started.text
    found: dict[str, Any] = started.json()
    return found


async def poll(browser: Browser, device: dict[str, Any]) -> httpx.Response:
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    return await browser.token(grant_type=grant, client_id="mes-cli", device_code=device["device_code"])


async def test_a_device_is_let_in_by_somebody_who_compares(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser, Browser(portal.gateways[1]) as device:
        started = await a_device(device)
        assert started["verification_uri"] == f"{portal.url}/device"
        assert (await poll(device, started)).json()["error"] == "authorization_pending"
        assert (await poll(device, started)).json()["error"] == "slow_down"
        await browser.get(started["verification_uri_complete"])
        landed = await browser.signs_in(person.email)
        await browser.get(landed.headers["location"])
        assert started["user_code"] in browser.page.text
        assert "127.0.0.1" in browser.page.text
        assert "python-httpx" in browser.page.text
        assert "signed in" in (await browser.submit({"action": "approve"})).text
        granted = (await poll(device, started)).json()
        assert (await me(portal.url, granted["access_token"])).json()["id"] == person.id
        again = await poll(device, started)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


async def test_a_device_that_is_denied_stays_out(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser:
        started = await a_device(browser)
        await browser.get("/device")
        await browser.signs_in(person.email)
        await browser.get("/device")
        await browser.submit({"user_code": started["user_code"].lower().replace("-", " ")})
        assert "stays out" in (await browser.submit({"action": "deny"})).text
        assert (await poll(browser, started)).json()["error"] == "access_denied"


# ---- service accounts ----


async def test_a_service_account_gets_tokens_by_its_key_until_the_key_goes(portal: LocalPortal) -> None:
    owner = await somebody(portal.url)
    org = await owner.make_org()
    account, key, secret = await an_account(owner, org, permissions=["app:read", "app:create"])
    async with httpx.AsyncClient(base_url=portal.url, timeout=20) as http:
        form = {"grant_type": "client_credentials"}
        answers = [
            await http.post("/oauth/token", data=form, auth=(account, secret)),
            await http.post("/oauth/token", data={**form, "client_id": account, "client_secret": secret}),
        ]
        for answer in answers:
            assert answer.status_code == 200, answer.text
            assert answer.headers["cache-control"] == "no-store"
            granted = answer.json()
            assert 590 <= granted["expires_in"] <= 600
            assert "refresh_token" not in granted
            headers = {"authorization": f"Bearer {granted['access_token']}"}
            assert (await http.get(f"/v1/orgs/{org}/apps", headers=headers)).status_code == 200
            refused = await http.get(f"/v1/orgs/{org}/members", headers=headers)
            assert refused.status_code == 403
        narrow = await http.post("/oauth/token", data={**form, "scope": "app:read"}, auth=(account, secret))
        headers = {"authorization": f"Bearer {narrow.json()['access_token']}"}
        body = {"slug": "mine", "name": "Mine", "kind": "remote"}
        assert (await http.post(f"/v1/orgs/{org}/apps", headers=headers, json=body)).status_code == 403
        wide = await http.post("/oauth/token", data={**form, "scope": "member:read"}, auth=(account, secret))
        assert (wide.status_code, wide.json()["error"]) == (400, "invalid_scope")
        await owner.call("DELETE", f"/v1/orgs/{org}/service-accounts/{account}/keys/{key}", 204)

        async def heard() -> bool:
            return (await http.get(f"/v1/orgs/{org}/apps", headers=headers)).status_code == 401

        await eventually(heard, "a token ends with the key that it was made from")
        gone = await http.post("/oauth/token", data=form, auth=(account, secret))
        assert (gone.status_code, gone.json()["error"]) == (401, "invalid_client")


async def test_the_same_request_again_gets_the_same_token(portal: LocalPortal) -> None:
    owner = await somebody(portal.url)
    org = await owner.make_org()
    account, _, secret = await an_account(owner, org)
    async with httpx.AsyncClient(base_url=portal.url, timeout=20) as http:
        answers = [
            await http.post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(account, secret),
                headers={"idempotency-key": "job 1"},
            )
            for _ in range(2)
        ]
        keys = KeySet.import_key_set((await http.get("/.well-known/jwks.json")).json())
    said = [jwt.decode(one.json()["access_token"], keys, algorithms=["ES256"]).claims for one in answers]
    assert said[0] == said[1]


# ---- the end of tokens, and their worth ----


async def test_revoking_an_access_token_ends_it_alone_and_everywhere(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    async with httpx.AsyncClient(base_url=portal.gateways[0], timeout=20) as http:
        answer = await http.post("/oauth/revoke", data={"token": person.token})
        assert (answer.status_code, answer.content) == (200, b"")
        assert (await me(portal.gateways[0], person.token)).status_code == 401

        async def heard() -> bool:
            return (await me(portal.gateways[1], person.token)).status_code == 401

        await eventually(heard, "the other gateway refuses the token")
        form = {"grant_type": "refresh_token", "refresh_token": person.refresh_token}
        fresh = (await http.post("/oauth/token", data=form)).json()
        assert (await me(portal.gateways[0], fresh["access_token"])).status_code == 200
        await http.post("/oauth/revoke", data={"token": fresh["refresh_token"]})
        assert (await me(portal.gateways[0], fresh["access_token"])).status_code == 401
        for nothing in (person.token, fresh["refresh_token"], "nonsense", "a.b.c"):
            assert (await http.post("/oauth/revoke", data={"token": nothing})).status_code == 200


async def test_what_a_token_is_worth_is_told_to_its_own_side(portal: LocalPortal) -> None:
    owner, stranger = await asyncio.gather(somebody(portal.url), somebody(portal.url))
    org = await owner.make_org()
    account, _, secret = await an_account(owner, org)
    async with httpx.AsyncClient(base_url=portal.gateways[0], timeout=20) as http:

        async def worth(token: str) -> dict[str, Any]:
            answer = await http.post("/oauth/introspect", data={"token": token}, auth=(account, secret))
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

        granted = await http.post(
            "/oauth/token", data={"grant_type": "client_credentials"}, auth=(account, secret)
        )
        own = await worth(granted.json()["access_token"])
        assert own["active"] is True
        assert (own["sub"], own["client_id"], own["iss"]) == (account, account, portal.url)
        assert (await worth(owner.token))["sub"] == owner.id
        assert await worth(stranger.token) == {"active": False}
        assert await worth("nonsense") == {"active": False}
        holder = await stranger.call("POST", "/oauth/introspect", 200, data={"token": stranger.token})
        assert holder.json()["active"] is True
        await stranger.call("DELETE", "/v1/sessions/current", 204)
        refused = await stranger.call("POST", "/oauth/introspect", data={"token": stranger.token})
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


async def test_the_discovery_documents_name_what_is_there(portal: LocalPortal) -> None:
    async with httpx.AsyncClient(base_url=portal.url, timeout=20) as http:
        openid = (await http.get("/.well-known/openid-configuration")).json()
        plain = (await http.get("/.well-known/oauth-authorization-server")).json()
        assert openid["issuer"] == portal.url
        assert plain.items() <= openid.items()
        for name, address in openid.items():
            if name.endswith(("_endpoint", "_uri")):
                assert (await http.get(address)).status_code != 404, name
        for grant in openid["grant_types_supported"]:
            answer = await http.post("/oauth/token", data={"grant_type": grant})
            assert answer.json()["error"] != "unsupported_grant_type", grant
        other = await http.post("/oauth/token", data={"grant_type": "password"})
        assert other.json()["error"] == "unsupported_grant_type"


@pytest.mark.parametrize("accept", ["text/html", "*/*"])
async def test_pages_are_framed_by_nobody_and_run_nothing(portal: LocalPortal, accept: str) -> None:
    async with Browser(portal.url) as browser:
        browser.http.headers["accept"] = accept
        for path, parameters in (("/oauth/authorize", a_request()), ("/device", {})):
            page = await browser.get(path, parameters)
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "script-src" not in policy
            assert "unsafe" not in policy
            assert page.headers["x-frame-options"] == "DENY"
            assert page.headers["cache-control"] == "no-store"
            assert "<script" not in page.text
        assert (
            f"form-action 'self' {CLI.removesuffix('/callback')}"
            in (await browser.get("/oauth/authorize", a_request())).headers["content-security-policy"]
        )
        assert PASSWORD not in page.text
