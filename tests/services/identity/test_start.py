"""What is there once replicas have started side by side."""

from __future__ import annotations

from pydantic import SecretStr

from libs.bus.rpc import Asker
from libs.contracts.envelope import Stream
from libs.contracts.identity import GetKeys, GetMe, ListDirectory, OpenSession
from libs.permissions import PLATFORM
from tests.services.conftest import Running
from tests.services.identity.conftest import ADMIN, NOBODY


async def test_replicas_that_start_at_once_make_one_keyring_and_one_administrator(asker: Asker) -> None:
    keys = [await asker.query(GetKeys(), NOBODY) for _ in range(8)]
    assert all(key == keys[0] for key in keys)
    assert len(keys[0].keys) >= 2, "the one that signs, the one that will, and any that did"

    (operator,) = (await asker.query(ListDirectory(), NOBODY)).operators
    me = await asker.query(GetMe(user=operator), NOBODY)
    assert (me.email, me.id) == ("admin@example.com", operator)
    facts = await asker.events_after(Stream("identity", PLATFORM), 0)
    made = [fact for fact in facts if fact.data.get("operator")]
    assert [(fact.type, fact.actor) for fact in made] == [("identity.user_registered", "service:identity")]


async def test_the_administrator_signs_in(asker: Asker) -> None:
    password = SecretStr(ADMIN["MES_ADMIN_PASSWORD"])
    await asker.ask(OpenSession(email="ADMIN@example.com", password=password), NOBODY)


async def test_a_later_start_changes_nothing(asker: Asker, identity: list[Running]) -> None:
    before = await asker.query(GetKeys(), NOBODY), await asker.query(ListDirectory(), NOBODY)
    identity[1].stop()
    identity[1].start()
    after = await asker.query(GetKeys(), NOBODY), await asker.query(ListDirectory(), NOBODY)
    assert after == before
