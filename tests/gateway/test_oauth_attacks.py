"""Attacks on OAuth, and what each of them gets."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from deploy.local import LocalPortal
from gateway.guesses import ALLOWED
from tests.gateway.browser import VERIFIER, Browser, a_challenge, a_request, answer_of
from tests.gateway.test_oauth import a_device, an_account, me, poll
from tests.portal import PASSWORD, Person, somebody

# ---- where a code may be sent to ----

# What is left of the client's own address, and how it is turned into another's. `{portal}` is ours.
STRANGE_REDIRECTS = {
    "unregistered": "https://evil.example/callback",
    "ours with another path": "{portal}/app/callback/../../evil",
    "ours as a beginning": "{portal}/app/callback.evil.example",
    "ours as a name before an @": "{portal}@evil.example/app/callback",
    "ours with a user": "http://user@127.0.0.1/app/callback",
    "ours with more of a query": "{portal}/app/callback?next=https://evil.example",
    "ours with a fragment": "{portal}/app/callback#evil",
    "ours in capitals": "{portal}/APP/CALLBACK",
    "ours on another port": "http://127.0.0.1:1/app/callback",
    "ours over https": "https://127.0.0.1/app/callback",
    "ours with a slash": "{portal}/app/callback/",
    "ours with a backslash": "{portal}\\@evil.example/app/callback",
    "ours with a line break": "{portal}/app/callback\r\nset-cookie: a=b",
    "ours percent-encoded": "{portal}/app%2Fcallback",
    "a script": "javascript:alert(document.cookie)",
    "data": "data:text/html,<script>1</script>",
    "no scheme": "//evil.example/app/callback",
    "markup": '"><script>alert(1)</script>',
    "none": None,
}


@pytest.mark.parametrize("what", STRANGE_REDIRECTS)
async def test_a_code_goes_to_no_address_that_is_not_the_clients(portal: LocalPortal, what: str) -> None:
    template = STRANGE_REDIRECTS[what]
    redirect = template.replace("{portal}", portal.url) if template else None
    async with Browser(portal.url) as browser:
        for changes in ({}, {"response_type": "token"}, {"code_challenge": None}, {"prompt": "none"}):
            request = a_request(**{"client_id": "mes-portal", "redirect_uri": redirect, **changes})
            answer = await browser.get("/oauth/authorize", request)
            assert answer.status_code == 400, answer.headers
            assert "location" not in answer.headers
            assert "evil" not in answer.text
            assert "<script" not in answer.text


@pytest.mark.parametrize(
    ("redirect", "allowed"),
    [
        ("http://127.0.0.1:1024/callback", True),
        ("http://127.0.0.1/callback", True),
        ("http://[::1]:65535/callback", True),
        ("http://127.0.0.1:1024/other", False),
        ("http://127.0.0.1:1024/callback?a=b", False),
        ("http://127.0.0.1:1024@evil.example/callback", False),
        ("http://evil.example:1024/callback", False),
        ("http://localhost:1024/callback", False),
        ("http://127.0.0.2:1024/callback", False),
        ("http://127.1:1024/callback", False),
        ("http://0x7f.1:1024/callback", False),
        ("http://127.0.0.1.evil.example/callback", False),
        ("https://127.0.0.1:1024/callback", False),
        ("http://127.0.0.1:99999/callback", False),
        ("http://127.0.0.1:/callback#x", False),
    ],
)
async def test_a_native_client_may_choose_its_port_and_nothing_else(
    portal: LocalPortal, redirect: str, allowed: bool
) -> None:
    async with Browser(portal.url) as browser:
        answer = await browser.get("/oauth/authorize", a_request(redirect_uri=redirect))
    assert answer.status_code == (200 if allowed else 400)


# ---- asking for less safety ----

DOWNGRADES: dict[str, dict[str, str | None]] = {
    "no challenge": {"code_challenge": None, "code_challenge_method": None},
    "no method": {"code_challenge_method": None},
    "the method without a challenge": {"code_challenge": None},
    "plain": {"code_challenge": VERIFIER, "code_challenge_method": "plain"},
    "s256 in small letters": {"code_challenge_method": "s256"},
    "a challenge that is too short": {"code_challenge": "short"},
    "a challenge with odd characters": {"code_challenge": "ä" * 43},
    "the implicit flow": {"response_type": "token"},
    "the hybrid flow": {"response_type": "code id_token"},
    "the answer in the fragment": {"response_mode": "fragment"},
    "the answer in a form": {"response_mode": "form_post"},
    "the answer in a message": {"response_mode": "web_message"},
    "a request as a token": {"request": "eyJhbGciOiJub25lIn0.e30."},
    "a request by address": {"request_uri": "https://evil.example/request"},
    "a scope that is not the client's": {"scope": "openid admin"},
    "two prompts that exclude each other": {"prompt": "none login"},
    "an age that is no number": {"max_age": "-1"},
}


@pytest.mark.parametrize("what", DOWNGRADES)
async def test_the_client_hears_that_it_cannot_have_less(portal: LocalPortal, what: str) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser:
        # With somebody signed in, so that nothing but the request stands in the way.
        await browser.authorizes(person.email)
        request = a_request(**DOWNGRADES[what])
        answer = await browser.get("/oauth/authorize", request)
        said = answer_of(answer)
        assert "code" not in said
        assert said["error"]
        assert (said["state"], said["iss"]) == (request["state"], portal.url)
        assert urlsplit(answer.headers["location"]).fragment == ""
        # Neither does whoever posts without looking at the page.
        await browser.get("/device")
        _, hidden = browser.form()
        posted = await browser.http.post(
            "/oauth/authorize", params=request, data={**hidden, "action": "allow"}
        )
        assert "code" not in answer_of(posted)


@pytest.mark.parametrize("name", ["redirect_uri", "client_id", "state", "code_challenge", "scope"])
async def test_a_parameter_that_is_there_twice_is_no_request(portal: LocalPortal, name: str) -> None:
    async with Browser(portal.url) as browser:
        doubled = httpx.QueryParams([*a_request().items(), (name, "https://evil.example")])
        answer = await browser.http.get("/oauth/authorize", params=doubled)
        assert answer.status_code == 400
        twice = await browser.http.post(
            "/oauth/token",
            content="grant_type=refresh_token&grant_type=authorization_code&refresh_token=x",
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")


async def test_an_unknown_client_gets_no_redirect(portal: LocalPortal) -> None:
    async with Browser(portal.url) as browser:
        for client in ("nobody", "browser", "mes", "sva_000000000000000000000000", "", "a" * 3000):
            answer = await browser.get("/oauth/authorize", a_request(client_id=client))
            assert answer.status_code in (400, 401), client
            assert "location" not in answer.headers


# ---- codes in other hands ----


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": a_challenge()}, "invalid_grant"),
        ({"code_verifier": "v"}, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1:52526/callback"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"client_id": "mes-portal"}, "invalid_grant"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": None}, "invalid_client"),
    ],
)
async def test_a_stolen_code_is_of_no_use(portal: LocalPortal, changes: dict[str, Any], error: str) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser:
        code = (await browser.authorizes(person.email))["code"]
        stolen = await browser.redeems(code, **changes)
        assert stolen.json()["error"] == error, stolen.text
        assert stolen.status_code in (400, 401)
        # And it does not keep the one whose code it is from using it.
        assert (await browser.redeems(code)).status_code == 200


async def test_a_code_that_is_used_again_ends_what_it_gave(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.gateways[0]) as browser:
        code = (await browser.authorizes(person.email))["code"]
        granted = (await browser.redeems(code)).json()
        assert (await me(portal.gateways[0], granted["access_token"])).status_code == 200
        again = await browser.redeems(code)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
        assert (await me(portal.gateways[0], granted["access_token"])).status_code == 401
        form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
        refused = await browser.token(**form, client_id="mes-cli")
        assert refused.json()["error"] == "invalid_grant"


async def test_of_many_that_redeem_a_code_at_once_one_gets_tokens_at_most(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser:
        code = (await browser.authorizes(person.email))["code"]
        answers = await asyncio.gather(*(browser.redeems(code) for _ in range(10)))
        granted = [answer.json() for answer in answers if answer.status_code == 200]
        assert len(granted) == 1
        assert {answer.json().get("error") for answer in answers} == {None, "invalid_grant"}
        # The others showed that it is in several hands.
        assert (await me(portal.url, granted[0]["access_token"])).status_code == 401


@pytest.mark.parametrize(
    "code", ["x", "cod_000000000000000000000000.x", "ses_1.1.x", "a.b.c.d", "é", "x" * 4000]
)
async def test_a_code_cannot_be_made_up(portal: LocalPortal, code: str) -> None:
    async with Browser(portal.url) as browser:
        answer = await browser.redeems(code)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_token_of_one_kind_does_not_pass_for_another(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser:
        code = (await browser.authorizes(person.email))["code"]
        granted = (await browser.redeems(code)).json()
        device = await a_device(browser)
        cookie = next(value for name, value in browser.http.cookies.items() if "browser" in name)
        for other in (cookie, device["device_code"], granted["refresh_token"], granted["id_token"]):
            assert (await browser.redeems(other)).json()["error"] == "invalid_grant"
        for other in (cookie, code, device["device_code"]):
            form = {"grant_type": "refresh_token", "refresh_token": other, "client_id": "mes-cli"}
            assert (await browser.token(**form)).json()["error"] == "invalid_grant"
        # What says who somebody is opens nothing.
        assert (await me(portal.url, granted["id_token"])).status_code == 401
        for other in (granted["refresh_token"], code, device["device_code"], granted["access_token"]):
            browser.http.cookies.clear()
            browser.http.cookies.set("mes-browser", other)
            page = await browser.get("/oauth/authorize", a_request(prompt="none"))
            assert answer_of(page)["error"] == "login_required"


@pytest.mark.parametrize(
    ("client", "error"),
    [(None, "invalid_grant"), ("mes-portal", "invalid_grant"), ("nobody", "invalid_grant")],
)
async def test_another_client_does_not_refresh(portal: LocalPortal, client: str | None, error: str) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser:
        granted = (await browser.redeems((await browser.authorizes(person.email))["code"])).json()
        form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
        other = await browser.token(**form, **({"client_id": client} if client else {}))
        assert (other.status_code, other.json()["error"]) == (400, error)
        assert (await browser.token(**form, client_id="mes-cli")).status_code == 200


# ---- the page ----


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"form": ""}, {}),
        ({"form": "x" * 43}, {}),
        ({"form": None}, {}),
        ({}, {"origin": "https://evil.example"}),
        ({}, {"origin": "null"}),
        ({}, {"sec-fetch-site": "cross-site"}),
        ({}, {"sec-fetch-site": "same-site"}),
    ],
)
async def test_another_site_signs_nobody_in(
    portal: LocalPortal, fields: dict[str, Any], headers: dict[str, str]
) -> None:
    """Neither into an account of the attacker's, nor a client or a device into the victim's."""
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser:
        device = await a_device(browser)
        for path, more in (
            ("/oauth/authorize", {}),
            ("/device/sign-in", {}),
            ("/device", {"user_code": device["user_code"], "action": "approve"}),
        ):
            await browser.get("/oauth/authorize", a_request())
            address, hidden = browser.form()
            good = {"email": person.email, "password": PASSWORD, "action": "allow", **more}
            form = {**hidden, **good, **fields}
            sent = {name: value for name, value in form.items() if value is not None}
            answer = await browser.http.post(
                address if path == "/oauth/authorize" else path, data=sent, headers=headers
            )
            assert answer.status_code == 403, answer.text
            assert "location" not in answer.headers
            assert not any("browser" in name for name in browser.http.cookies)


async def test_without_the_cookie_of_the_page_its_form_counts_for_nothing(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser:
        await browser.get("/oauth/authorize", a_request())
        browser.http.cookies.clear()
        assert (await browser.signs_in(person.email)).status_code == 403


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser:
        page = await browser.get("/oauth/authorize", a_request())
        form = page.headers["set-cookie"].lower()
        assert "httponly" in form
        assert "samesite=strict" in form
        kept = (await browser.signs_in(person.email)).headers["set-cookie"].lower()
        assert "httponly" in kept
        assert "samesite=lax" in kept
        assert "path=/" in kept
        assert "domain" not in kept


async def test_a_page_shows_nothing_of_what_it_was_sent(portal: LocalPortal) -> None:
    marker = f'"><img src=x onerror={secrets.token_hex(6)}>'
    names = ("state", "nonce", "login_hint", "scope", "client_id", "redirect_uri", "prompt", "unknown")
    async with Browser(portal.url) as browser:
        for name in names:
            page = await browser.get("/oauth/authorize", {**a_request(), name: marker})
            assert marker not in page.text
            assert "<img" not in page.text
        page = await browser.get("/device", {"user_code": marker})
        assert "<img" not in page.text
        await browser.get("/oauth/authorize", a_request())
        page = await browser.submit({"email": marker, "password": marker, "code": marker, "action": "allow"})
        assert page.status_code == 401
        assert "<img" not in page.text
        assert marker not in page.text


async def test_a_wrong_password_and_an_unknown_address_show_the_same_page(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    pages = []
    async with Browser(portal.url) as browser:
        request = a_request()
        for email in (person.email, f"{secrets.token_hex(6)}@example.org"):
            await browser.get("/oauth/authorize", request)
            pages.append((await browser.signs_in(email, "not the password")).text)
    assert pages[0] == pages[1]
    assert "is wrong" in pages[0]


# ---- devices ----


async def test_the_code_of_a_device_cannot_be_searched_for(portal: LocalPortal) -> None:
    """Only by who is signed in, and by them only a few a minute; even the right one waits then."""
    person = await somebody(portal.gateways[0])
    async with Browser(portal.gateways[0]) as browser:
        device = await a_device(browser)
        await browser.get("/device")
        nobody = await browser.submit({"user_code": device["user_code"], "action": "check"})
        assert nobody.status_code in (401, 403)
        assert device["user_code"] not in nobody.text
        await browser.get("/device")
        await browser.signs_in(person.email)
        for _ in range(ALLOWED):
            await browser.get("/device")
            wrong = await browser.submit({"user_code": "BBBB-BBBB", "action": "approve"})
            assert wrong.status_code == 404
        await browser.get("/device")
        waits = await browser.submit({"user_code": device["user_code"], "action": "approve"})
        assert waits.status_code == 429
        assert (await poll(browser, device)).json()["error"] == "authorization_pending"


async def test_a_link_lets_no_device_in_by_itself(portal: LocalPortal) -> None:
    """Phishing: whoever follows a sent link sees what it is about, and has to say yes."""
    person = await somebody(portal.url)
    async with Browser(portal.url) as browser, Browser(portal.url) as attacker:
        await browser.authorizes(person.email)
        attacker.http.headers["user-agent"] = "evil <b>box</b>"
        started = await a_device(attacker)
        page = await browser.get(started["verification_uri_complete"])
        assert "Approve only if you have just started this yourself" in page.text
        assert "evil &lt;b&gt;box&lt;/b&gt;" in page.text
        assert (await poll(attacker, started)).json()["error"] == "authorization_pending"


@pytest.mark.parametrize("client", ["mes-portal", "nobody", "", "browser"])
async def test_not_every_client_may_ask_for_a_device(portal: LocalPortal, client: str) -> None:
    async with httpx.AsyncClient(base_url=portal.url, timeout=20) as http:
        answer = await http.post("/oauth/device_authorization", data={"client_id": client})
        assert answer.status_code in (400, 401)
        assert answer.json()["error"] in ("unauthorized_client", "invalid_client")


async def test_a_device_code_is_good_in_the_hands_of_its_client_alone(portal: LocalPortal) -> None:
    async with Browser(portal.url) as browser:
        started = await a_device(browser)
        grant = "urn:ietf:params:oauth:grant-type:device_code"
        form = {"grant_type": grant, "device_code": started["device_code"]}
        assert (await browser.token(**form, client_id="mes-portal")).json()["error"] == "unauthorized_client"
        assert (await browser.token(**form)).json()["error"] == "invalid_client"
        other = {**form, "device_code": "dev_000000000000000000000000.x"}
        assert (await browser.token(**other, client_id="mes-cli")).json()["error"] == "invalid_grant"


# ---- clients with secrets, and the tokens of others ----


async def two_tenants(portal: LocalPortal) -> tuple[Person, str, str, Person, str, str]:
    mine, theirs = await asyncio.gather(somebody(portal.gateways[0]), somebody(portal.gateways[0]))
    accounts = []
    for person in (mine, theirs):
        org = await person.make_org()
        account, _, secret = await an_account(person, org)
        accounts.append((account, secret))
    return mine, *accounts[0], theirs, *accounts[1]


async def test_a_clients_secret_is_not_guessed(portal: LocalPortal) -> None:
    _, account, secret, _, other, others_secret = await two_tenants(portal)
    form = {"grant_type": "client_credentials"}
    async with httpx.AsyncClient(base_url=portal.gateways[0], timeout=20) as http:
        unknown = await http.post("/oauth/token", data=form, auth=("sva_0", secret))
        crossed = await http.post("/oauth/token", data=form, auth=(account, others_secret))
        bodies = [{**answer.json(), "trace_id": ""} for answer in (unknown, crossed)]
        assert [answer.status_code for answer in (unknown, crossed)] == [401, 401]
        assert {body["error"] for body in bodies} == {"invalid_client"}
        for _ in range(ALLOWED - 1):
            wrong = await http.post("/oauth/token", data=form, auth=(account, "mesk_" + "0" * 38))
            assert wrong.status_code == 401
            assert wrong.headers["www-authenticate"].startswith("Basic")
        waits = await http.post("/oauth/token", data=form, auth=(account, secret))
        assert waits.status_code == 429
        assert int(waits.headers["retry-after"]) > 0
        # Others are not made to wait for it.
        assert (await http.post("/oauth/token", data=form, auth=(other, others_secret))).status_code == 200


async def test_a_client_shows_itself_in_one_way(portal: LocalPortal) -> None:
    _, account, secret, _, other, _ = await two_tenants(portal)
    async with httpx.AsyncClient(base_url=portal.url, timeout=20) as http:
        form = {"grant_type": "client_credentials"}
        both = {**form, "client_id": account, "client_secret": secret}
        answer = await http.post("/oauth/token", data=both, auth=(account, secret))
        assert answer.json()["error"] == "invalid_request"
        two = await http.post("/oauth/token", data={**form, "client_id": other}, auth=(account, secret))
        assert two.json()["error"] == "invalid_request"
        odd = await http.post("/oauth/token", data=form, headers={"authorization": "Basic ????"})
        assert odd.json()["error"] == "invalid_client"


async def test_what_another_organizations_token_is_worth_is_not_told(portal: LocalPortal) -> None:
    mine, account, secret, theirs, other, others_secret = await two_tenants(portal)
    form = {"grant_type": "client_credentials"}
    async with httpx.AsyncClient(base_url=portal.gateways[0], timeout=20) as http:
        granted = await http.post("/oauth/token", data=form, auth=(other, others_secret))
        foreign = [granted.json()["access_token"], theirs.token, others_secret, "nonsense"]
        for asking in ({"auth": (account, secret)}, {"headers": {"authorization": f"Bearer {mine.token}"}}):
            answers = [
                await http.post("/oauth/introspect", data={"token": token}, **asking) for token in foreign
            ]
            assert {answer.text for answer in answers} == {'{"active":false}'}
        nobody = await http.post("/oauth/introspect", data={"token": theirs.token})
        assert (nobody.status_code, nobody.json()["error"]) == (401, "invalid_client")
        public = await http.post("/oauth/introspect", data={"token": theirs.token, "client_id": "mes-cli"})
        assert (public.status_code, public.json()["error"]) == (401, "invalid_client")


async def test_nobody_ends_another_clients_tokens(portal: LocalPortal) -> None:
    _, account, secret, theirs, other, others_secret = await two_tenants(portal)
    form = {"grant_type": "client_credentials"}
    async with Browser(portal.gateways[0]) as browser:
        http = browser.http
        granted = (await http.post("/oauth/token", data=form, auth=(other, others_secret))).json()
        clients = (await browser.redeems((await browser.authorizes(theirs.email))["code"])).json()
        for token in (
            granted["access_token"],
            clients["access_token"],
            clients["refresh_token"],
            theirs.token,
        ):
            refused = await http.post("/oauth/revoke", data={"token": token}, auth=(account, secret))
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        for token in (clients["access_token"], clients["refresh_token"]):
            for client in ({}, {"client_id": "mes-portal"}):
                refused = await http.post("/oauth/revoke", data={"token": token, **client})
                assert refused.json()["error"] == "invalid_grant"
        forged = theirs.token[:-4] + "AAAA"
        assert (await http.post("/oauth/revoke", data={"token": forged})).status_code == 200
        for token in (clients["access_token"], theirs.token):
            assert (await me(portal.gateways[0], token)).status_code == 200
        worth = await http.post(
            "/oauth/introspect", data={"token": granted["access_token"]}, auth=(other, others_secret)
        )
        assert worth.json()["active"] is True
