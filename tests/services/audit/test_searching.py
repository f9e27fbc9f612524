"""Refused attempts, searches through the indexes, and who may read."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.bus.rpc import Asker
from libs.contracts.audit import RecordRefusal
from libs.contracts.base import Caller
from libs.errors import Refused
from libs.permissions import PLATFORM, Grant
from libs.telemetry import current_trace_id, set_up, span
from tests.services.audit.conftest import Log, Teller, a_fact, an_auditor, eventually

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
MALLORY = Caller(subject="usr_mallory", name="Mallory", address="192.0.2.66", session="ses_6", agent="curl")


def a_refusal(org: str, **fields: Any) -> RecordRefusal:
    return RecordRefusal(
        **{"org": org, "action": "registry.create_app", "target": org, "code": "rate_limited", **fields}
    )


async def test_a_refusal_of_a_gateway_is_recorded_once_for_each_request(
    asker: Asker, log: Log, org: str
) -> None:
    set_up("tests")
    request = uuid.uuid4().hex
    with span("an attempt"):
        trace = current_trace_id()
        for _ in range(3):
            await asker.ask(a_refusal(org), MALLORY, request, repeatable=True)
    await asker.ask(a_refusal(org), MALLORY, uuid.uuid4().hex)
    entries = await log.entries(org)
    assert [entry.id for entry in entries] == [f"gateway:{org}:1", f"gateway:{org}:2"]
    first = entries[0]
    assert (first.outcome, first.action, first.resource) == ("refused", "registry.create_app", org)
    assert (first.actor, first.address, first.agent, first.session) == (
        "usr_mallory",
        "192.0.2.66",
        "curl",
        "ses_6",
    )
    assert first.trace_id == trace


async def test_refusals_and_facts_at_the_same_time_are_all_recorded(
    registry: Teller, asker: Asker, log: Log, org: str
) -> None:
    await asyncio.gather(
        registry.tell(*(a_fact(org, sequence) for sequence in range(1, 31))),
        *(asker.ask(a_refusal(org), MALLORY, uuid.uuid4().hex) for _ in range(10)),
    )

    async def counts() -> tuple[int, int]:
        entries = await log.entries(org, limit=200)
        return len(entries), len({entry.id for entry in entries})

    await eventually(counts, (40, 40))
    facts = [entry.sequence for entry in await log.entries(org, limit=200) if entry.service == "registry"]
    assert facts == list(range(1, 31))


async def test_a_refused_attempt_of_a_service_is_an_entry(registry: Teller, log: Log, org: str) -> None:
    attempt = {
        "org": org,
        "target": f"{org}/shop",
        "command": "registry.publish_version",
        "code": "version_exists",
        "attempt": {"metadata": {"$where": 1, "a.b": 2, "token": "s3cret"}},
    }
    await registry.tell(a_fact(org, 1, type="registry.attempt_refused", data=attempt))
    await eventually(lambda: log.sequences(org), [1])
    entry = (await log.page(org)).items[0]
    assert (entry.outcome, entry.action, entry.resource) == (
        "refused",
        "registry.publish_version",
        f"{org}/shop",
    )
    # Names that look like operators are kept as they are; what looks like a secret is not.
    assert entry.data["attempt"]["metadata"] == {"$where": 1, "a.b": 2, "token": "[removed]"}


@pytest.fixture
async def history(registry: Teller, log: Log, org: str) -> str:
    """400 changes a minute apart, by four people on five applications; one of them is rare."""
    facts = [
        a_fact(
            org,
            sequence,
            time=NOON + timedelta(minutes=sequence),
            actor="usr_rare" if sequence == 3 else f"usr_{sequence % 3}",
            type="registry.version_published" if sequence % 5 == 0 else "registry.app_updated",
            subject=f"{org}/app{sequence % 5}" + ("/production" if sequence % 2 else ""),
            traceparent=f"00-{sequence // 4:032x}-b7ad6b7169203331-01",
        )
        for sequence in range(1, 401)
    ]
    for start in range(0, 400, 100):
        await registry.tell(*facts[start : start + 100])
    await eventually(lambda: log.sequences(org), list(range(1, 401)))
    return org


async def test_a_search_finds_exactly_what_it_names(history: str, log: Log) -> None:
    async def sequences(**search: Any) -> list[int]:
        return [entry.sequence for entry in await log.entries(history, limit=20, **search)]

    everything = range(1, 401)
    assert await sequences(actor="usr_rare") == [3]
    assert await sequences(actor="usr_1") == [n for n in everything if n % 3 == 1 and n != 3]
    assert await sequences(action="registry.version_published") == list(range(5, 401, 5))
    assert await sequences(action="registry.version*") == list(range(5, 401, 5))
    assert await sequences(action="deploy.*") == []
    assert await sequences(resource_prefix=f"{history}/app2") == [n for n in everything if n % 5 == 2]
    assert await sequences(resource_prefix=f"{history}/app2/production") == list(range(7, 401, 10))
    assert await sequences(resource_prefix=f"{history}/app") == []
    assert await sequences(resource_prefix=f"{history}/app*") == list(everything)
    assert await sequences(trace=f"{25:032x}") == [100, 101, 102, 103]
    assert await sequences(outcome="refused") == []
    since, until = NOON + timedelta(minutes=10), NOON + timedelta(minutes=15)
    assert await sequences(since=since, until=until) == [10, 11, 12, 13, 14]
    assert await sequences(since=since, until=until, actor="usr_2") == [11, 14]


async def test_pages_are_full_and_newest_first(history: str, log: Log) -> None:
    first = await log.page(history, actor="usr_1", limit=30)
    assert [entry.sequence for entry in first.items] == list(range(400, 310, -3))
    second = await log.page(history, actor="usr_1", limit=30, cursor=first.next)
    assert [entry.sequence for entry in second.items] == list(range(310, 220, -3))


async def test_a_cursor_of_somebody_else_is_refused(log: Log, org: str) -> None:
    with pytest.raises(Refused) as refusal:
        await log.page(org, cursor="AAAA")
    assert (refusal.value.problem().code, refusal.value.problem().status) == ("cursor_unknown", 400)


async def test_the_log_is_read_by_those_who_hold_the_right(history: str, log: Log) -> None:
    developer = Caller(subject="usr_2", grants=(Grant("developer", history),))
    for caller in (developer, an_auditor("org_other")):
        with pytest.raises(Refused) as refusal:
            await log.page(history, caller)
        assert refusal.value.problem().code == "permission_missing"


async def test_an_organization_sees_nothing_of_another(history: str, log: Log) -> None:
    assert (await log.page("org_other", actor="usr_rare")).items == ()


async def test_operators_read_the_log_of_the_installation(asker: Asker, log: Log) -> None:
    target = f"usr_{uuid.uuid4().hex}"
    await asker.ask(a_refusal(PLATFORM, target=target), MALLORY, uuid.uuid4().hex)
    operator = Caller(subject="usr_root", grants=(Grant("operator", PLATFORM),))
    page = await log.page(PLATFORM, operator, resource_prefix=target)
    assert [entry.actor for entry in page.items] == ["usr_mallory"]
