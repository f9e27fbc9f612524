"""OAuth as identity keeps it: what gateways that start must know, and what goes with what."""

from __future__ import annotations

from pydantic import SecretStr

from gateway.access import OrganizationAccess
from libs.bus.rpc import Asker
from libs.contracts.envelope import Stream
from libs.contracts.identity import (
    ClientProof,
    CreateServiceAccount,
    CreateTrustRule,
    DeleteServiceAccount,
    ListDirectory,
    RemoveTrustRule,
    RevokeToken,
)
from tests.services.identity.conftest import NOBODY, Person
from tests.services.identity.test_access import by_events, by_reading
from tests.services.identity.test_organizations import does


async def ended(asker: Asker) -> tuple[str, ...]:
    return (await asker.query(ListDirectory(), NOBODY)).ended


async def test_a_gateway_that_starts_knows_the_tokens_that_are_over(asker: Asker, ada: Person) -> None:
    opened = (await ada.signs_in()).value
    before = await ended(asker)
    command = RevokeToken(client=ClientProof(), token=SecretStr(opened.access_token))
    await asker.ask(command, NOBODY)
    (new,) = set(await ended(asker)) - set(before)
    assert new != opened.session
    # Ending it again is nothing new.
    await asker.ask(command, NOBODY)
    assert set(await ended(asker)) - set(before) == {new}


async def test_a_gateway_that_starts_knows_the_trust_rules_that_stand(asker: Asker, ada: Person) -> None:
    org = (await ada.creates()).id
    kept = await does(ada, CreateServiceAccount(org=org, slug="ci", name="CI"))
    gone = await does(ada, CreateServiceAccount(org=org, slug="old", name="Old"))
    rules = []
    for account in (kept, kept, gone):
        command = CreateTrustRule(
            org=org,
            account=account.id,
            issuer="https://token.actions.githubusercontent.com",
            audience="portal",
            claims={"repository_id": "1"},
        )
        rules.append(await does(ada, command))
    await does(ada, RemoveTrustRule(org=org, account=kept.id, rule=rules[1].id))
    await does(ada, DeleteServiceAccount(org=org, account=gone.id))
    read, followed = await by_reading(asker, org), await by_events(asker, org)
    assert read["rules"] == followed["rules"] == {rules[0].id: kept.id}
    access = OrganizationAccess(org)
    for fact in await asker.events_after(Stream("identity", org), 0):
        access.apply(fact)
    assert access.standing() == {rules[0].id}
