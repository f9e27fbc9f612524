"""Attacks on signing in, with what each of them gets. Each row says it in its name and asserts it.

Those that need many addresses, a clock or two replicas are in tests/services/identity/test_guessing.py.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local import LocalPortal
from tests.gateway.refusals import problem
from tests.gateway.signing_in import OTHER_PASSWORD, a_passkey, an_app, challenge, letters, mailed, token_in
from tests.gateway.test_account import again, origin
from tests.portal import PASSWORD, Person, somebody

FREE_TRIES = 5


@pytest.fixture
async def ada(portal: LocalPortal) -> Person:
    return await somebody(portal.url)


@pytest.fixture
async def eve(portal: LocalPortal) -> Person:
    return await somebody(portal.url)


@pytest.fixture(scope="module")
def post(portal: LocalPortal) -> Path:
    return portal.folder.path / "mail"


async def signs_in(
    http: httpx.AsyncClient, email: str, password: str, code: str | None = None
) -> httpx.Response:
    body = {"email": email, "password": password} | ({"code": code} if code else {})
    return await http.post("/v1/sessions", json=body)


async def refresh(http: httpx.AsyncClient, token: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await http.post("/oauth/token", data=form)


# ---- whose addresses have an account ----


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(ada: Person) -> None:
    answers = []
    for email in (ada.email, f"{secrets.token_hex(6)}@example.org"):
        found = problem(await signs_in(ada.http, email, "not the password"), 401, "sign_in_refused")
        answers.append({**found, "trace_id": None})
    assert answers[0] == answers[1]


async def test_links_that_are_asked_for_get_the_same_answer(ada: Person) -> None:
    unknown = f"{secrets.token_hex(6)}@example.org"
    for path in ("/v1/password-resets", "/v1/verifications"):
        known, other = [await ada.http.post(path, json={"email": email}) for email in (ada.email, unknown)]
        assert (
            (known.status_code, known.content) == (other.status_code, other.content) == (202, known.content)
        )


async def test_a_second_factor_is_told_to_nobody_without_the_password(ada: Person) -> None:
    await an_app(ada)
    for code in (None, "123456"):
        answer = await signs_in(ada.http, ada.email, "not the password", code)
        problem(answer, 401, "sign_in_refused")


async def test_a_challenge_tells_nobody_which_passkeys_there_are(ada: Person, portal: LocalPortal) -> None:
    before = await challenge(ada.http)
    await a_passkey(ada, origin(portal))
    after = await challenge(ada.http)
    assert {**before, "challenge": None} == {**after, "challenge": None}


# ---- guessing ----


async def test_guesses_from_one_address_have_to_wait_and_are_told_how_long(ada: Person, eve: Person) -> None:
    for _ in range(FREE_TRIES):
        problem(await signs_in(ada.http, ada.email, "not the password"), 401, "sign_in_refused")
    answer = await signs_in(ada.http, ada.email, PASSWORD)
    problem(answer, 429, "too_many_tries")
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert (await signs_in(eve.http, eve.email, PASSWORD)).status_code == 201, "nobody else waits"


async def test_guesses_at_an_unknown_address_have_to_wait_just_the_same(ada: Person) -> None:
    unknown = f"{secrets.token_hex(6)}@example.org"
    codes = [
        (await signs_in(ada.http, unknown, "not the password")).status_code for _ in range(FREE_TRIES + 1)
    ]
    assert codes == [401] * FREE_TRIES + [429]


async def test_guesses_that_come_at_once_are_looked_at_one_after_the_other(ada: Person) -> None:
    guesses = (signs_in(ada.http, ada.email, f"guess number {n}") for n in range(50))
    codes = [answer.status_code for answer in await asyncio.gather(*guesses)]
    assert codes.count(401) == FREE_TRIES
    assert codes.count(429) == 50 - FREE_TRIES


async def test_guesses_at_a_code_have_to_wait_although_the_password_is_right(ada: Person) -> None:
    app = await an_app(ada)
    for n in range(FREE_TRIES):
        problem(await signs_in(ada.http, ada.email, PASSWORD, f"{n:06}"), 401, "code_refused")
    problem(await signs_in(ada.http, ada.email, PASSWORD, app.code()), 429, "too_many_tries")


async def test_a_refusal_to_wait_is_not_remembered_as_the_answer(ada: Person) -> None:
    """Else whoever waits as told, and repeats the request, would be refused for days."""
    for _ in range(FREE_TRIES):
        await signs_in(ada.http, ada.email, "not the password")
    key = {"idempotency-key": secrets.token_hex(8)}
    body = {"email": ada.email, "password": PASSWORD}
    refused = await ada.http.post("/v1/sessions", json=body, headers=key)
    assert refused.status_code == 429
    await asyncio.sleep(int(refused.headers["retry-after"]))
    assert (await ada.http.post("/v1/sessions", json=body, headers=key)).status_code == 201


async def test_a_found_session_does_not_guess_the_password(ada: Person) -> None:
    body = {"password": "not the password", "new_password": OTHER_PASSWORD}
    for _ in range(FREE_TRIES):
        problem(await ada.call("PUT", "/v1/me/password", json=body), 401, "sign_in_refused")
    problem(await ada.call("PUT", "/v1/me/password", json=body), 429, "too_many_tries")


# ---- codes ----


async def test_a_code_that_was_seen_is_no_longer_good(ada: Person) -> None:
    app = await an_app(ada)
    code = app.code()
    assert (await signs_in(ada.http, ada.email, PASSWORD, code)).status_code == 201
    problem(await signs_in(ada.http, ada.email, PASSWORD, code), 401, "code_refused")


@pytest.mark.parametrize("kind", ["app", "recovery"])
async def test_of_many_who_show_one_code_at_once_one_gets_in(ada: Person, kind: str) -> None:
    app = await an_app(ada)
    code = app.code() if kind == "app" else app.recovery[0]
    answers = await asyncio.gather(*(signs_in(ada.http, ada.email, PASSWORD, code) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers)[:2] == [201, 401]


async def test_a_recovery_code_is_good_once(ada: Person) -> None:
    app = await an_app(ada)
    assert (await signs_in(ada.http, ada.email, PASSWORD, app.recovery[0])).status_code == 201
    problem(await signs_in(ada.http, ada.email, PASSWORD, app.recovery[0]), 401, "code_refused")


# ---- mailed links ----


async def test_a_link_is_good_once_and_its_elder_dies_with_it(ada: Person, post: Path) -> None:
    tokens = []
    for count in (1, 2):
        await ada.http.post("/v1/password-resets", json={"email": ada.email})
        tokens.append(token_in(await mailed(post, ada.email, "new password", count)))
    body = {"token": tokens[1], "password": OTHER_PASSWORD}
    assert (await ada.http.post("/v1/password-resets/confirm", json=body)).status_code == 204
    for token in tokens:
        again_ = {"token": token, "password": "another phrase entirely"}
        answer = await ada.http.post("/v1/password-resets/confirm", json=again_)
        problem(answer, 422, "link_refused")
    await again(ada, OTHER_PASSWORD)


async def test_a_link_dies_when_the_password_is_changed_meanwhile(ada: Person, post: Path) -> None:
    await ada.http.post("/v1/password-resets", json={"email": ada.email})
    token = token_in(await mailed(post, ada.email, "new password"))
    body = {"password": PASSWORD, "new_password": OTHER_PASSWORD}
    await ada.call("PUT", "/v1/me/password", 204, json=body)
    late = {"token": token, "password": "another phrase entirely"}
    problem(await ada.http.post("/v1/password-resets/confirm", json=late), 422, "link_refused")


async def test_a_link_that_was_changed_or_is_for_something_else_is_none(
    ada: Person, eve: Person, post: Path
) -> None:
    await ada.http.post("/v1/password-resets", json={"email": ada.email})
    await ada.http.post("/v1/verifications", json={"email": ada.email})
    token = token_in(await mailed(post, ada.email, "new password"))
    verification = token_in(await mailed(post, ada.email, "Verify"))
    user, until, credentials, proof = token.split(".")
    forged = [
        ".".join((eve.id, until, credentials, proof)),
        ".".join((user, str(int(until) + 86_400), credentials, proof)),
        ".".join((user, until, str(int(credentials) + 1), proof)),
        token[:-2] + ("AA" if not token.endswith("AA") else "BB"),
        verification,
        ada.refresh_token,
        "nonsense",
        "....",
        "é.1.1.x",
    ]
    for one in forged:
        body = {"token": one, "password": OTHER_PASSWORD}
        problem(await ada.http.post("/v1/password-resets/confirm", json=body), 422, "link_refused")
    await again(ada)


async def test_a_mailbox_is_not_flooded(ada: Person, post: Path) -> None:
    codes = [
        (await ada.http.post("/v1/password-resets", json={"email": ada.email})).status_code for _ in range(8)
    ]
    assert codes == [202] * 5 + [429] * 3
    await mailed(post, ada.email, "new password", 5)
    assert len(letters(post, ada.email, "new password")) == 5


# ---- refresh tokens ----


async def test_fifty_that_refresh_at_once_move_the_session_once_and_log_nobody_out(
    ada: Person, portal: LocalPortal
) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        form = {"grant_type": "refresh_token", "refresh_token": ada.refresh_token}
        urls = [portal.gateways[n % 2] + "/oauth/token" for n in range(50)]
        answers = await asyncio.gather(*(http.post(url, data=form) for url in urls))
        assert {answer.status_code for answer in answers} == {200}
        (newest,) = {answer.json()["refresh_token"] for answer in answers}
        assert newest.split(".")[1] == str(int(ada.refresh_token.split(".")[1]) + 1)
        assert (await http.post(urls[0], data={**form, "refresh_token": newest})).status_code == 200


async def test_a_refresh_token_from_before_the_last_one_ends_the_session_and_is_audited(
    ada: Person, portal: LocalPortal
) -> None:
    stolen = ada.refresh_token
    first = (await refresh(ada.http, stolen)).json()
    second = (await refresh(ada.http, first["refresh_token"])).json()
    for token in (stolen, second["refresh_token"]):
        # In the form that RFC 6749 asks of this one route.
        refused = (await refresh(ada.http, token)).json()
        assert (refused["error"], refused["code"]) == ("invalid_grant", "refresh_reused")
    problem(await ada.call("GET", "/v1/me"), 401, "session_over")
    operator = await again(
        Person(portal.admin.email, "", "", "", httpx.AsyncClient(base_url=portal.url)), portal.admin.password
    )

    async def audited() -> list[dict[str, Any]]:
        answer = await operator.call(
            "GET", "/v1/operations/audit/events", 200, params={"action": "identity.session_ended"}
        )
        return [one for one in answer.json()["items"] if stolen.split(".")[0] in str(one)]

    for _ in range(100):
        if found := await audited():
            break
        await asyncio.sleep(0.05)
    assert "refresh_reused" in str(found[0])


# ---- passkeys ----


async def test_an_assertion_that_was_seen_is_no_longer_good(ada: Person, portal: LocalPortal) -> None:
    device = await a_passkey(ada, origin(portal))
    body = {"credential": device.get(await challenge(ada.http))}
    assert (await ada.http.post("/v1/sessions/passkey", json=body)).status_code == 201
    problem(await ada.http.post("/v1/sessions/passkey", json=body), 401, "passkey_refused")


async def test_of_many_who_show_one_assertion_at_once_one_gets_in(ada: Person, portal: LocalPortal) -> None:
    device = await a_passkey(ada, origin(portal))
    body = {"credential": device.get(await challenge(ada.http))}
    answers = await asyncio.gather(*(ada.http.post("/v1/sessions/passkey", json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401, 401]


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://portal.evil.example"},
        {"rp_id": "evil.example"},
        {"verified": False},
        {"user": "dXNyX2Vzb21lYm9keQ"},
    ],
    ids=["another origin", "another domain", "user not verified", "another user"],
)
async def test_an_assertion_made_elsewhere_is_refused(
    ada: Person, portal: LocalPortal, wrong: dict[str, Any]
) -> None:
    device = await a_passkey(ada, origin(portal))
    for name, value in wrong.items():
        setattr(device, name, value)
    body = {"credential": device.get(await challenge(ada.http))}
    problem(await ada.http.post("/v1/sessions/passkey", json=body), 401, "passkey_refused")


async def test_a_challenge_of_another_purpose_or_none_of_ours_is_refused(
    ada: Person, portal: LocalPortal
) -> None:
    device = await a_passkey(ada, origin(portal))
    registering = (await ada.call("POST", "/v1/me/passkeys/challenge", 200)).json()["options"]
    made_up = {"challenge": "bm90LWEtY2hhbGxlbmdlLW9mLW91cnM"}
    for options in (registering, made_up):
        body = {"credential": device.get(options)}
        problem(await ada.http.post("/v1/sessions/passkey", json=body), 401, "passkey_refused")


async def test_a_challenge_for_one_adds_no_passkey_to_another(
    ada: Person, eve: Person, portal: LocalPortal
) -> None:
    device = await a_passkey(eve, origin(portal))
    options = (await eve.call("POST", "/v1/me/passkeys/challenge", 200)).json()["options"]
    device.id = secrets.token_bytes(32)
    body = {"name": "Mine", "credential": device.create(options)}
    problem(await ada.call("POST", "/v1/me/passkeys", json=body), 422, "passkey_invalid")


async def test_a_cloned_authenticator_is_refused_and_so_is_the_first_one_after_it(
    ada: Person, portal: LocalPortal
) -> None:
    device = await a_passkey(ada, origin(portal))
    for _ in range(2):
        body = {"credential": device.get(await challenge(ada.http))}
        assert (await ada.http.post("/v1/sessions/passkey", json=body)).status_code == 201
    genuine, device.count = device.count, 0
    body = {"credential": device.get(await challenge(ada.http))}
    problem(await ada.http.post("/v1/sessions/passkey", json=body), 401, "passkey_cloned")
    device.count = genuine
    body = {"credential": device.get(await challenge(ada.http))}
    problem(await ada.http.post("/v1/sessions/passkey", json=body), 401, "passkey_cloned")


@pytest.mark.parametrize(
    "credential",
    [{"id": "x"}, {"response": []}, {"id": 7, "response": {"clientDataJSON": "e30"}}, {"a": None}],
)
async def test_nonsense_instead_of_an_assertion_is_refused(ada: Person, credential: dict[str, Any]) -> None:
    answer = await ada.http.post("/v1/sessions/passkey", json={"credential": credential})
    problem(answer, 401, "passkey_refused")


# ---- sessions of others ----


async def test_the_session_of_another_is_none(ada: Person, eve: Person) -> None:
    theirs = ada.refresh_token.split(".")[0]
    problem(await eve.call("DELETE", f"/v1/sessions/{theirs}"), 404, "session_not_found")
    problem(await eve.call("DELETE", "/v1/sessions/ses_never_was"), 404, "session_not_found")
    await ada.call("GET", "/v1/me", 200)


async def test_the_passkey_of_another_is_none(ada: Person, eve: Person, portal: LocalPortal) -> None:
    await a_passkey(ada, origin(portal))
    (theirs,) = (await ada.call("GET", "/v1/me/passkeys", 200)).json()["items"]
    problem(await eve.call("DELETE", f"/v1/me/passkeys/{theirs['id']}"), 404, "passkey_not_found")


async def test_only_an_operator_changes_the_signing_key(ada: Person) -> None:
    problem(await ada.call("POST", "/v1/operations/keys/rotate"), 403, "permission_missing")
