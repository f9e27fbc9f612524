"""One's own account through the front door: sessions, passwords, second factors, passkeys, mailed links."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from deploy.local import LocalPortal
from tests.gateway.refusals import problem
from tests.gateway.signing_in import (
    OTHER_PASSWORD,
    a_passkey,
    an_app,
    challenge,
    letters,
    mailed,
    token_in,
)
from tests.portal import PASSWORD, Person, signed_in, somebody
from tests.system.live import LiveClient


@pytest.fixture
async def ada(portal: LocalPortal) -> Person:
    return await somebody(portal.url)


@pytest.fixture(scope="module")
def post(portal: LocalPortal) -> Path:
    """Where mail goes."""
    return portal.folder.path / "mail"


def origin(portal: LocalPortal) -> str:
    return portal.url.replace("127.0.0.1", "localhost")


async def again(person: Person, password: str = PASSWORD) -> Person:
    """The same person in another session, from another program."""
    http = httpx.AsyncClient(base_url=person.http.base_url, timeout=20, headers={"user-agent": "Another/1"})
    return await signed_in(str(person.http.base_url), person.email, password, person.id, http)


async def test_sessions_are_listed_and_the_one_that_asks_is_marked(ada: Person) -> None:
    other = await again(ada)
    found = (await ada.call("GET", "/v1/sessions", 200)).json()["items"]
    assert sorted((one["agent"].split("/")[0], one["current"]) for one in found) == [
        ("Another", False),
        ("python-httpx", True),
    ]
    assert {one["address"] for one in found} == {"127.0.0.1"}
    assert [one["methods"] for one in found] == [["pwd"], ["pwd"]]
    theirs = (await other.call("GET", "/v1/sessions", 200)).json()["items"]
    assert [one["id"] for one in theirs if one["current"]] != [one["id"] for one in found if one["current"]]


async def test_the_list_of_sessions_is_live(ada: Person, portal: LocalPortal) -> None:
    live = await LiveClient.open(portal.gateways[0], ada.token)
    own = ada.refresh_token.split(".")[0]
    first = await live.watch("sessions", "identity.list_sessions", session="ses_of_another", user="usr_other")
    assert [(one["id"], one["current"]) for one in first["items"]] == [(own, True)]
    other = await again(ada)
    await live.until(lambda: len(live.value("sessions")["items"]) == 2)
    await other.call("DELETE", "/v1/sessions/current", 204)
    await live.until(lambda: len(live.value("sessions")["items"]) == 1)
    await live.close()


async def test_ending_a_session_closes_its_socket(ada: Person, portal: LocalPortal) -> None:
    other = await again(ada)
    live = await LiveClient.open(portal.gateways[1], other.token)
    await live.watch("me", "identity.get_me")
    await ada.call("DELETE", "/v1/sessions", 204)
    await live.until(lambda: live.closed is not None)


async def test_sessions_come_in_pages_that_lack_and_repeat_none(ada: Person) -> None:
    for _ in range(4):
        await again(ada)
    seen: list[str] = []
    cursor = None
    while True:
        page = (
            await ada.call(
                "GET", "/v1/sessions", 200, params={"limit": 2} | ({"cursor": cursor} if cursor else {})
            )
        ).json()
        seen += [one["id"] for one in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert len(seen) == len(set(seen)) == 5


async def test_a_session_is_ended_from_another_one_at_once(ada: Person) -> None:
    other = await again(ada)
    found = (await ada.call("GET", "/v1/sessions", 200)).json()["items"]
    (theirs,) = [one["id"] for one in found if not one["current"]]
    await ada.call("DELETE", f"/v1/sessions/{theirs}", 204)
    problem(await other.call("GET", "/v1/me"), 401, "session_over")
    assert len((await ada.call("GET", "/v1/sessions", 200)).json()["items"]) == 1


async def test_all_other_sessions_are_ended_and_the_one_that_asks_is_not(ada: Person) -> None:
    others = [await again(ada) for _ in range(3)]
    await ada.call("DELETE", "/v1/sessions", 204)
    for other in others:
        problem(await other.call("GET", "/v1/me"), 401, "session_over")
    await ada.call("GET", "/v1/me", 200)


async def test_a_changed_password_ends_the_other_sessions_and_is_told_by_mail(
    ada: Person, post: Path
) -> None:
    other = await again(ada)
    body = {"password": PASSWORD, "new_password": OTHER_PASSWORD}
    await ada.call("PUT", "/v1/me/password", 204, json=body)
    problem(await other.call("GET", "/v1/me"), 401, "session_over")
    await ada.call("GET", "/v1/me", 200)
    await again(ada, OTHER_PASSWORD)
    old = {"email": ada.email, "password": PASSWORD}
    problem(await ada.http.post("/v1/sessions", json=old), 401, "sign_in_refused")
    assert "/sign-in" in await mailed(post, ada.email, "password was changed")


@pytest.mark.parametrize(
    ("present", "new", "status", "code"),
    [
        ("not the password at all", OTHER_PASSWORD, 401, "sign_in_refused"),
        (PASSWORD, "Password2026!!!!", 422, "weak_password"),
        (PASSWORD, "xk3jq9vwzz", 422, "password_too_short"),
        (PASSWORD, "short", 422, "invalid_body"),
    ],
)
async def test_a_password_is_not_changed(ada: Person, present: str, new: str, status: int, code: str) -> None:
    body = {"password": present, "new_password": new}
    problem(await ada.call("PUT", "/v1/me/password", json=body), status, code)
    await again(ada)


async def test_a_second_factor_is_asked_for_after_the_right_password_alone(ada: Person) -> None:
    app = await an_app(ada)
    right = {"email": ada.email, "password": PASSWORD}
    asked = problem(await ada.http.post("/v1/sessions", json=right), 401, "second_factor_required")
    assert [error["code"] for error in asked["errors"]] == ["totp", "recovery_code"]
    wrong = {"email": ada.email, "password": "not the password"}
    problem(await ada.http.post("/v1/sessions", json=wrong), 401, "sign_in_refused")
    answer = await ada.http.post("/v1/sessions", json={**right, "code": app.code()})
    assert answer.status_code == 201, answer.text
    found = (await ada.call("GET", "/v1/sessions", 200)).json()["items"]
    assert ["pwd", "otp", "mfa"] in [one["methods"] for one in found]


async def test_a_recovery_code_signs_in_and_new_ones_replace_the_rest(ada: Person) -> None:
    app = await an_app(ada)
    body = {"email": ada.email, "password": PASSWORD, "code": app.recovery[0]}
    assert (await ada.http.post("/v1/sessions", json=body)).status_code == 201
    assert (await ada.call("GET", "/v1/me/factors", 200)).json() == {
        "totp": True,
        "recovery_codes_left": 9,
        "passkeys": 0,
    }
    fresh = (await ada.call("POST", "/v1/me/recovery-codes", 200)).json()["codes"]
    assert len(set(fresh)) == 10
    former = {**body, "code": app.recovery[1]}
    problem(await ada.http.post("/v1/sessions", json=former), 401, "code_refused")
    assert (await ada.http.post("/v1/sessions", json={**body, "code": fresh[0]})).status_code == 201


async def test_what_is_shown_once_is_shown_again_to_a_repeated_request_alone(ada: Person) -> None:
    key = {"idempotency-key": "enrol"}
    first, repeated = [await ada.call("POST", "/v1/me/totp", 201, headers=key) for _ in range(2)]
    assert first.json() == repeated.json()
    assert first.headers["cache-control"] == "no-store"
    anew = await ada.call("POST", "/v1/me/totp", 201)
    assert anew.json()["secret"] != first.json()["secret"]


async def test_with_a_second_factor_a_password_may_be_short_and_then_the_factor_stays(ada: Person) -> None:
    await an_app(ada)
    await ada.call("PUT", "/v1/me/password", 204, json={"password": PASSWORD, "new_password": "xk3jq9vw"})
    problem(await ada.call("DELETE", "/v1/me/totp"), 403, "password_needs_second_factor")
    await ada.call("PUT", "/v1/me/password", 204, json={"password": "xk3jq9vw", "new_password": PASSWORD})
    await ada.call("DELETE", "/v1/me/totp", 204)
    await again(ada)


async def test_a_passkey_signs_in_alone(ada: Person, portal: LocalPortal) -> None:
    device = await a_passkey(ada, origin(portal))
    async with httpx.AsyncClient(base_url=portal.url, timeout=20) as http:
        options = await challenge(http)
        assert not options["allowCredentials"], "nobody is told which passkeys there are"
        answer = await http.post("/v1/sessions/passkey", json={"credential": device.get(options)})
        assert answer.status_code == 201, answer.text
        token = {"authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await http.get("/v1/me", headers=token)).json()["id"] == ada.id


async def test_passkeys_are_listed_by_name_and_removed(ada: Person, portal: LocalPortal) -> None:
    first = await a_passkey(ada, origin(portal), "Phone")
    await a_passkey(ada, origin(portal), "Key on a ring")
    found = (await ada.call("GET", "/v1/me/passkeys", 200)).json()["items"]
    assert [one["name"] for one in found] == ["Phone", "Key on a ring"]
    await ada.call("DELETE", f"/v1/me/passkeys/{found[0]['id']}", 204)
    left = (await ada.call("GET", "/v1/me/passkeys", 200)).json()["items"]
    assert [one["name"] for one in left] == ["Key on a ring"]
    body = {"credential": first.get(await challenge(ada.http))}
    problem(await ada.http.post("/v1/sessions/passkey", json=body), 401, "passkey_refused")


async def test_a_forgotten_password_is_replaced_by_a_mailed_link(ada: Person, post: Path) -> None:
    asked = await ada.http.post("/v1/password-resets", json={"email": ada.email})
    unknown = await ada.http.post("/v1/password-resets", json={"email": "nobody@example.org"})
    assert (asked.status_code, asked.json()) == (unknown.status_code, unknown.json()) == (202, asked.json())
    letter = await mailed(post, ada.email, "new password")
    body = {"token": token_in(letter), "password": OTHER_PASSWORD}
    assert (await ada.http.post("/v1/password-resets/confirm", json=body)).status_code == 204
    problem(await ada.call("GET", "/v1/me"), 401, "session_over")
    renewed = await again(ada, OTHER_PASSWORD)
    assert (await renewed.call("GET", "/v1/me", 200)).json()["email_verified"] is True
    assert not letters(post, "nobody@example.org", "")


async def test_an_address_is_verified_by_a_mailed_link(ada: Person, post: Path) -> None:
    assert (await ada.call("GET", "/v1/me", 200)).json()["email_verified"] is False
    await ada.http.post("/v1/verifications", json={"email": ada.email.upper()})
    body = {"token": token_in(await mailed(post, ada.email, "Verify"))}
    assert (await ada.http.post("/v1/verifications/confirm", json=body)).status_code == 204
    assert (await ada.call("GET", "/v1/me", 200)).json()["email_verified"] is True
    problem(await ada.http.post("/v1/verifications/confirm", json=body), 422, "link_refused")


async def test_links_lead_to_the_address_of_the_settings_whatever_the_host_header_says(
    ada: Person, post: Path, portal: LocalPortal
) -> None:
    forged = {"host": "evil.example", "x-forwarded-host": "evil.example"}
    asked = await ada.http.post("/v1/password-resets", json={"email": ada.email}, headers=forged)
    assert asked.status_code == 202
    letter = await mailed(post, ada.email, "new password")
    assert f"{origin(portal)}/reset-password#token=" in letter
    assert "evil" not in letter
