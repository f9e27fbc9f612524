"""The signing key changes while two replicas run, and nobody notices."""

from __future__ import annotations

import asyncio
import time

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from pydantic import SecretStr

from libs.bus.rpc import Asker
from libs.contracts.base import Caller
from libs.contracts.envelope import Stream
from libs.contracts.identity import GetKeys, OpenSession, RotatedKeys, RotateKeys
from libs.errors import Refused
from libs.permissions import PLATFORM, Grant
from tests.services.identity.conftest import ADMIN, NOBODY, Person

OPERATOR = Caller(subject="usr_operator", name="operator", grants=(Grant("operator", PLATFORM),))
WITHIN_S = 20.0


async def published(asker: Asker) -> KeySet:
    keys = await asker.query(GetKeys(), NOBODY)
    return KeySet.import_key_set({"keys": [dict(key) for key in keys.keys]})


async def rotate(asker: Asker) -> RotatedKeys:
    return (await asker.ask(RotateKeys(), OPERATOR)).value


def signed_with(token: str, keys: KeySet) -> str:
    return str(jwt.decode(token, keys).header["kid"])


async def test_both_replicas_sign_with_the_next_key_and_what_they_signed_before_verifies(
    asker: Asker, ada: Person
) -> None:
    before = (await ada.signs_in()).value.access_token
    announced = {key.kid for key in (await published(asker)).keys}
    rotated = await rotate(asker)
    assert rotated.current in announced, "it was published before it signs"
    keys = await published(asker)
    assert signed_with(before, keys) in rotated.previous
    deadline = time.monotonic() + WITHIN_S
    while True:
        # Either replica may answer.
        tokens = [(await ada.signs_in()).value.access_token for _ in range(6)]
        if {signed_with(token, keys) for token in tokens} == {rotated.current}:
            break
        assert time.monotonic() < deadline, "a replica does not follow"
        await asyncio.sleep(0.2)


async def test_a_rotation_is_told_and_holds_no_secret(asker: Asker) -> None:
    rotated = await rotate(asker)
    facts = await asker.events_after(Stream("identity", PLATFORM), 0, 1000)
    while facts and (more := await asker.events_after(facts[0].stream, facts[-1].sequence, 1000)):
        facts = more
    (told,) = [fact for fact in facts if fact.data.get("current") == rotated.current]
    assert (told.type, told.topics) == ("identity.signing_keys_changed", ("keys",))
    assert set(told.data) == {"current", "next"}


async def test_nobody_but_an_operator_changes_the_key(asker: Asker, ada: Person) -> None:
    with pytest.raises(Refused) as refusal:
        await asker.ask(RotateKeys(), await ada.caller())
    assert refusal.value.problem().code == "permission_missing"


async def test_the_operator_still_signs_in_afterwards(asker: Asker) -> None:
    password = SecretStr(ADMIN["MES_ADMIN_PASSWORD"])
    token = (await asker.ask(OpenSession(email="admin@example.com", password=password), NOBODY)).value
    assert signed_with(token.access_token, await published(asker))
