"""Guessing passwords from many addresses, against two replicas; who is known at an address is let through."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from libs.bus.rpc import Asker
from libs.contracts.base import Caller
from libs.contracts.identity import ChangePassword, OpenSession, Tokens
from libs.errors import Refused
from libs.permissions import PLATFORM
from tests.services.identity.conftest import PASSWORD, Person, an_email
from tests.services.identity.test_sessions import facts

# As the fixture sets it: for one account, whatever the address.
BY_ACCOUNT = 12
BY_PAIR = 5


def at(number: int) -> Caller:
    return Caller(subject="anonymous", address=f"198.51.100.{number}")


async def signs_in(asker: Asker, email: str, caller: Caller, password: str = PASSWORD) -> Tokens:
    command = OpenSession(email=email, password=SecretStr(password))
    return (await asker.ask(command, caller)).value


async def guess(asker: Asker, email: str, caller: Caller) -> str:
    try:
        await signs_in(asker, email, caller, "not the password")
    except Refused as refusal:
        return refusal.problem().code
    return "signed in"


async def test_guesses_from_many_addresses_have_to_wait_together(asker: Asker, ada: Person) -> None:
    told = [await guess(asker, ada.user.email, at(n)) for n in range(BY_ACCOUNT + 3)]
    assert told[:BY_ACCOUNT] == ["sign_in_refused"] * BY_ACCOUNT
    assert "too_many_tries" in told[BY_ACCOUNT:]


async def test_an_attack_from_elsewhere_keeps_nobody_out_who_is_known_at_their_address(
    asker: Asker, ada: Person
) -> None:
    home, cafe = at(200), at(201)
    await signs_in(asker, ada.user.email, home)
    for n in range(BY_ACCOUNT + 4):
        await guess(asker, ada.user.email, at(n))
    assert await guess(asker, ada.user.email, cafe) == "too_many_tries", "elsewhere one has to wait"
    await signs_in(asker, ada.user.email, home)


async def test_guesses_at_once_at_two_replicas_are_counted_together(asker: Asker, ada: Person) -> None:
    """Each replica looks at one guess at a time, so at most one more than is free gets through."""
    told = await asyncio.gather(*(guess(asker, ada.user.email, at(7)) for _ in range(40)))
    assert BY_PAIR <= told.count("sign_in_refused") <= BY_PAIR + 1
    assert set(told) == {"sign_in_refused", "too_many_tries"}


async def test_a_sign_in_forgets_the_mistakes_before_it(asker: Asker, ada: Person) -> None:
    for _ in range(3):
        for _ in range(BY_PAIR - 1):
            assert await guess(asker, ada.user.email, at(9)) == "sign_in_refused"
        await signs_in(asker, ada.user.email, at(9))


async def test_that_guesses_have_to_wait_is_audited_once(asker: Asker) -> None:
    email = an_email()
    for _ in range(BY_PAIR + 5):
        await guess(asker, email, at(11))
    told = [fact.data for fact in await facts(asker, PLATFORM) if fact.type == "identity.tries_limited"]
    assert [one["scope"] for one in told if one["email"] == email] == ["pair"]


async def test_people_who_sign_in_at_once_from_one_address_wait_for_nobody(asker: Asker, ada: Person) -> None:
    tokens = await asyncio.gather(*(signs_in(asker, ada.user.email, at(12)) for _ in range(20)))
    assert len({one.session for one in tokens}) == 20


async def test_a_change_of_password_ends_the_sessions_that_others_hold(asker: Asker, ada: Person) -> None:
    first, second = [await signs_in(asker, ada.user.email, at(13)) for _ in range(2)]
    caller = (await ada.caller()).model_copy(update={"session": first.session})
    command = ChangePassword(password=SecretStr(PASSWORD), new_password=SecretStr("seven ravens on a wire"))
    await asker.ask(command, caller)
    ended = [fact.data for fact in await facts(asker, PLATFORM) if fact.type == "identity.session_ended"]
    assert {"user": ada.user.id, "session": second.session, "reason": "password_changed"} in ended
    assert first.session not in str(ended)
    with pytest.raises(Refused):
        await signs_in(asker, ada.user.email, at(13))
