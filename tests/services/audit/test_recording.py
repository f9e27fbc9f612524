"""Whatever the broker delivers and whatever dies: every fact once, in order, from its owner (G4)."""

from __future__ import annotations

import asyncio

from deploy.local import LocalParts
from libs.bus.rpc import Asker
from libs.contracts.base import service_caller
from libs.contracts.common import LIST_PARKED, REPLAY_PARKED, ListParked, Parked, ReplayParked
from libs.contracts.envelope import Stream
from tests.services.audit.conftest import Log, Teller, a_fact, an_auditor, eventually, telling
from tests.services.conftest import Running


async def sequences(log: Log, org: str, wanted: list[int]) -> None:
    await eventually(lambda: log.sequences(org), wanted)


async def parked(asker: Asker) -> Parked:
    raw = await asker.call(
        f"audit.{LIST_PARKED}", ListParked(limit=500).model_dump_json().encode(), service_caller("tests")
    )
    return Parked.model_validate(raw["value"])


async def test_facts_in_order_become_entries_in_order(registry: Teller, log: Log, org: str) -> None:
    for sequence in range(1, 6):
        await registry.tell(a_fact(org, sequence))
    await sequences(log, org, [1, 2, 3, 4, 5])
    newest = (await log.page(org)).items[0]
    assert (newest.id, newest.summary) == (f"registry:{org}:5", "change 5")
    assert newest.data == {"org": org, "app": "orders", "number": 5}


async def test_a_fact_that_comes_twice_is_one_entry(registry: Teller, log: Log, org: str) -> None:
    facts = [a_fact(org, sequence) for sequence in (1, 2, 3)]
    await registry.tell(*facts)
    await registry.tell(*facts, a_fact(org, 4))
    await registry.tell(*facts)
    await registry.tell(a_fact(org, 5))
    await sequences(log, org, [1, 2, 3, 4, 5])


async def test_facts_out_of_order_become_entries_in_order(registry: Teller, log: Log, org: str) -> None:
    facts = [a_fact(org, sequence) for sequence in range(1, 31)]
    async with registry.owning(facts):
        await registry.tell(*[facts[place ^ 1] for place in range(30)])
        await sequences(log, org, list(range(1, 31)))


async def test_a_gap_is_filled_by_the_owner(registry: Teller, log: Log, org: str) -> None:
    facts = [a_fact(org, sequence) for sequence in range(1, 9)]
    await registry.tell(*facts[:2])
    await sequences(log, org, [1, 2])
    async with registry.owning(facts):
        await registry.tell(facts[7])
        await sequences(log, org, list(range(1, 9)))
    assert registry.asked_after == [2]


async def test_a_gap_waits_for_an_owner_who_is_away(registry: Teller, log: Log, org: str) -> None:
    facts = [a_fact(org, sequence) for sequence in (1, 2, 3)]
    await registry.tell(facts[2])
    await asyncio.sleep(0.2)
    assert await log.sequences(org) == []
    async with registry.owning(facts):
        await sequences(log, org, [1, 2, 3])


async def test_streams_of_one_organization_share_a_log(
    parts: LocalParts, registry: Teller, log: Log, org: str
) -> None:
    async with telling(parts, "deploy") as deploy:
        await asyncio.gather(
            *(
                teller.tell(a_fact(org, sequence, service=teller.user, type=f"{teller.user}.app_updated"))
                for sequence in range(1, 41)
                for teller in (registry, deploy)
            )
        )

        async def counted() -> int:
            return len(await log.entries(org, limit=200))

        await eventually(counted, 80)
    entries = await log.entries(org, limit=200)
    for service in ("registry", "deploy"):
        assert [e.sequence for e in entries if e.service == service] == list(range(1, 41))


async def test_an_event_of_a_forged_sender_is_parked(
    parts: LocalParts, registry: Teller, log: Log, asker: Asker, org: str
) -> None:
    forged = a_fact(org, 1, actor="usr_mallory")
    async with telling(parts, "deploy") as deploy:
        await deploy.tell(forged)

    async def reasons() -> list[str]:
        return [message.reason for message in (await parked(asker)).messages if message.id == forged.id]

    await eventually(reasons, ["an event of registry was sent by deploy"])
    await registry.tell(a_fact(org, 1))
    await sequences(log, org, [1])
    assert [entry.actor for entry in await log.entries(org)] == ["usr_ada"]


async def test_what_is_no_event_is_parked_listed_and_replayed(
    registry: Teller, log: Log, asker: Asker, org: str
) -> None:
    await registry.send(b"\x00 no event", f"poison-{org}", org)
    await registry.tell(a_fact(org, 1))

    async def ours() -> list[str]:
        return [message.id for message in (await parked(asker)).messages if message.id == f"poison-{org}"]

    await eventually(ours, [f"poison-{org}"])
    await sequences(log, org, [1])  # nobody waits behind it
    listed = next(message for message in (await parked(asker)).messages if message.id == f"poison-{org}")
    assert listed.service == "audit"
    assert listed.queue == f"registry.app_updated.{org}"
    assert "no event" in listed.body

    raw = await asker.call(
        f"audit.{REPLAY_PARKED}",
        ReplayParked(ids=(f"poison-{org}", "unknown")).model_dump_json().encode(),
        service_caller("tests"),
    )
    assert raw["value"] == {"replayed": [f"poison-{org}"]}

    # It is as poisonous as before, so it comes back, later.
    async def parked_at() -> list[bool]:
        again = [m.parked_at for m in (await parked(asker)).messages if m.id == listed.id]
        return [moment > listed.parked_at for moment in again]

    await eventually(parked_at, [True])


async def test_a_killed_audit_neither_loses_nor_doubles(
    audit: Running, registry: Teller, log: Log, asker: Asker, org: str
) -> None:
    facts = [a_fact(org, sequence) for sequence in range(1, 301)]
    async with registry.owning(facts):
        for start in range(0, 300, 20):
            await registry.tell(*facts[start : start + 20])
            if start in (60, 140, 220):
                await asyncio.to_thread(audit.kill)
                await asyncio.to_thread(audit.start)
        await sequences(log, org, list(range(1, 301)))
    told = await asker.events_after(Stream("audit", org), 0, 1000)
    assert sum(fact.data["count"] for fact in told) == 300
    assert {fact.type for fact in told} == {"audit.entries_recorded"}


async def test_a_walk_through_pages_misses_and_repeats_nothing_while_entries_arrive(
    registry: Teller, log: Log, org: str
) -> None:
    await registry.tell(*(a_fact(org, sequence) for sequence in range(1, 121)))
    await sequences(log, org, list(range(1, 121)))
    walked: list[int] = []
    cursor: str | None = None
    sequence = 121
    while True:
        page = await log.page(org, an_auditor(org), cursor=cursor, limit=7)
        walked += [entry.sequence for entry in page.items]
        await registry.tell(*(a_fact(org, number) for number in range(sequence, sequence + 5)))
        sequence += 5
        if (cursor := page.next) is None:
            break
    assert walked == list(range(120, 0, -1))
    await sequences(log, org, list(range(1, sequence)))
