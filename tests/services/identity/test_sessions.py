"""Registering, signing in, refreshing, and what happens when a token or a request comes twice."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from pydantic import SecretStr

from libs.bus.rpc import Asker
from libs.contracts.base import Command
from libs.contracts.envelope import Fact, Stream
from libs.contracts.identity import (
    EndSession,
    GetKeys,
    GetMe,
    ListDirectory,
    OpenSession,
    RefreshSession,
    RegisterUser,
    Tokens,
)
from libs.errors import Refused
from libs.permissions import PLATFORM
from tests.services.identity.conftest import NOBODY, PASSWORD, Person, an_email, registered


async def facts(asker: Asker, org: str = PLATFORM) -> list[Fact]:
    found: list[Fact] = []
    while page := await asker.events_after(Stream("identity", org), len(found)):
        found += page
    return found


async def refused(asker: Asker, command: Command[Any]) -> str:
    with pytest.raises(Refused) as refusal:
        await asker.ask(command, NOBODY)
    return refusal.value.problem().code


async def refresh(asker: Asker, tokens: Tokens, request: str | None = None) -> Tokens:
    command = RefreshSession(refresh_token=tokens.refresh_token)
    return (await asker.ask(command, NOBODY, request, repeatable=request is not None)).value


async def test_a_user_registers_and_finds_themselves(asker: Asker) -> None:
    email = an_email()
    person = await registered(asker, email.upper())
    assert person.user.email == email
    assert await asker.query(GetMe(user=person.user.id), await person.caller()) == person.user
    (told,) = [fact for fact in await facts(asker) if fact.data.get("email") == email]
    assert (told.type, told.actor) == ("identity.user_registered", person.user.id)


async def test_an_address_is_registered_once_whoever_is_faster(asker: Asker) -> None:
    command = RegisterUser(email=an_email(), name="Ada", password=SecretStr(PASSWORD))
    asked = (asker.ask(command, NOBODY) for _ in range(6))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert {refusal.problem().code for refusal in refusals} == {"email_taken"}
    assert len(refusals) == 5


async def test_a_registration_that_is_repeated_happens_once(asker: Asker) -> None:
    command = RegisterUser(email=an_email(), name="Ada", password=SecretStr(PASSWORD))
    request = secrets.token_hex(8)
    first, *others = await asyncio.gather(*(asker.ask(command, NOBODY, request, True) for _ in range(4)))
    assert all(other == first for other in others)


async def test_another_body_under_the_same_id_is_refused(asker: Asker) -> None:
    request = secrets.token_hex(8)
    first, second = (
        RegisterUser(email=an_email(), name="Ada", password=SecretStr(PASSWORD)) for _ in range(2)
    )
    await asker.ask(first, NOBODY, request, True)
    with pytest.raises(Refused) as refusal:
        await asker.ask(second, NOBODY, request, True)
    assert refusal.value.problem().code == "idempotency_key_reused"


async def test_the_published_keys_verify_an_access_token(asker: Asker, ada: Person) -> None:
    tokens = (await ada.signs_in()).value
    published = await asker.query(GetKeys(), NOBODY)
    keys = KeySet.import_key_set({"keys": [dict(key) for key in published.keys]})
    token = jwt.decode(tokens.access_token, keys)
    assert token.header["typ"] == "at+jwt"
    assert token.claims["sub"] == ada.user.id
    assert token.claims["sid"] == tokens.session
    assert token.claims["iss"] == published.issuer
    assert token.claims["exp"] - token.claims["iat"] == tokens.expires_in == 600


async def test_a_wrong_password_and_an_unknown_address_look_the_same(asker: Asker, ada: Person) -> None:
    problems = []
    for email in (ada.user.email, an_email()):
        with pytest.raises(Refused) as refusal:
            await asker.ask(OpenSession(email=email, password=SecretStr("not " + PASSWORD)), NOBODY)
        problems.append(refusal.value.problem().model_copy(update={"trace_id": None}))
    assert problems[0] == problems[1]
    assert (problems[0].code, problems[0].status) == ("sign_in_refused", 401)


async def test_a_sign_in_is_told_to_the_installation_and_to_every_organization(
    asker: Asker, ada: Person
) -> None:
    org = await ada.creates()
    tokens = (await ada.signs_in()).value
    for tenant in (PLATFORM, org.id):
        told = (await facts(asker, tenant))[-1]
        assert (told.type, told.actor) == ("identity.session_opened", ada.user.id)
        assert (told.data["session"], told.address) == (tokens.session, "192.0.2.7")


async def test_no_secret_is_in_the_log(asker: Asker, ada: Person) -> None:
    tokens = (await ada.signs_in()).value
    await refused(asker, OpenSession(email=ada.user.email, password=SecretStr("not-" + PASSWORD)))
    log = b"".join(fact.encode() for fact in await facts(asker)).decode()
    for secret in (PASSWORD, tokens.access_token, tokens.refresh_token, "argon2"):
        assert secret not in log


async def test_a_repeated_sign_in_opens_one_session(asker: Asker, ada: Person) -> None:
    request = secrets.token_hex(8)
    first = await ada.signs_in(request)
    again = await asyncio.gather(*(ada.signs_in(request) for _ in range(3)))
    assert {(one.value.session, one.value.refresh_token) for one in again} == {
        (first.value.session, first.value.refresh_token)
    }
    assert all(one.reached == first.reached for one in again)
    opened = [fact for fact in await facts(asker) if fact.data.get("session") == first.value.session]
    assert len(opened) == 1


async def test_a_repeated_sign_in_has_to_know_the_password(asker: Asker, ada: Person) -> None:
    request = secrets.token_hex(8)
    await ada.signs_in(request)
    command = OpenSession(email=ada.user.email, password=SecretStr("guessed"))
    with pytest.raises(Refused) as refusal:
        await asker.ask(command, NOBODY, request, repeatable=True)
    assert refusal.value.problem().code == "sign_in_refused"


async def test_a_refused_sign_in_stays_refused_under_its_id(asker: Asker, ada: Person) -> None:
    request = secrets.token_hex(8)
    wrong = OpenSession(email=ada.user.email, password=SecretStr("guessed"))
    for command in (wrong, OpenSession(email=ada.user.email, password=SecretStr(PASSWORD))):
        with pytest.raises(Refused) as refusal:
            await asker.ask(command, NOBODY, request, repeatable=True)
        assert refusal.value.problem().code == "sign_in_refused"


async def test_a_refresh_replaces_the_token(asker: Asker, ada: Person) -> None:
    tokens = (await ada.signs_in()).value
    renewed = await refresh(asker, tokens)
    assert renewed.session == tokens.session
    assert renewed.refresh_token != tokens.refresh_token
    assert (await refresh(asker, renewed)).refresh_token != renewed.refresh_token


async def test_tabs_that_refresh_at_once_get_the_same_token(asker: Asker, ada: Person) -> None:
    tokens = (await ada.signs_in()).value
    renewed = await asyncio.gather(*(refresh(asker, tokens) for _ in range(5)))
    assert len({one.refresh_token for one in renewed}) == 1


async def test_a_replaced_token_ends_the_session(asker: Asker, ada: Person) -> None:
    stolen = (await ada.signs_in()).value
    newest = await refresh(asker, await refresh(asker, stolen))
    for tokens in (stolen, newest, stolen):
        assert await refused(asker, RefreshSession(refresh_token=tokens.refresh_token)) == "refresh_reused"
    ended = [fact for fact in await facts(asker) if fact.type == "identity.session_ended"]
    assert [f.data["reason"] for f in ended if f.data["session"] == stolen.session] == ["refresh_reused"]
    assert stolen.session in (await asker.query(ListDirectory(), NOBODY)).ended


async def test_a_repeated_refresh_is_no_reuse(asker: Asker, ada: Person) -> None:
    tokens = (await ada.signs_in()).value
    request = secrets.token_hex(8)
    first = await refresh(asker, tokens, request)
    again = await refresh(asker, tokens, request)
    assert again.refresh_token == first.refresh_token
    await refresh(asker, first)
    # By now the first answer is known to have arrived. It is no longer good, and no harm is done.
    with pytest.raises(Refused) as refusal:
        await refresh(asker, tokens, request)
    assert refusal.value.problem().code == "refresh_refused"
    assert tokens.session not in (await asker.query(ListDirectory(), NOBODY)).ended


async def test_an_invented_refresh_token_is_refused(asker: Asker, ada: Person) -> None:
    tokens = (await ada.signs_in()).value
    for token in ("nonsense", tokens.refresh_token.replace(".1.", ".2."), tokens.access_token):
        assert await refused(asker, RefreshSession(refresh_token=token[:512])) == "refresh_refused"


async def test_a_session_that_was_ended_is_over(asker: Asker, ada: Person) -> None:
    tokens = (await ada.signs_in()).value
    caller = await ada.caller()
    for _ in range(2):
        await asker.ask(EndSession(session=tokens.session), caller)
    assert await refused(asker, RefreshSession(refresh_token=tokens.refresh_token)) == "refresh_refused"
    assert tokens.session in (await asker.query(ListDirectory(), NOBODY)).ended
    ended = [fact for fact in await facts(asker) if fact.type == "identity.session_ended"]
    assert [f.data["reason"] for f in ended if f.data["session"] == tokens.session] == ["signed_out"]


async def test_nobody_ends_the_session_of_another(asker: Asker, ada: Person, eve: Person) -> None:
    tokens = (await ada.signs_in()).value
    with pytest.raises(Refused) as refusal:
        await asker.ask(EndSession(session=tokens.session), await eve.caller())
    assert refusal.value.problem().code == "session_not_found"
    await refresh(asker, tokens)
