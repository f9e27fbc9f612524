"""Every process is killed again and again under load; then what was promised is compared with what is there.

`CHAOS_SEED` repeats the order of a run (moments differ), `CHAOS_KILLS` makes it longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from deploy.local import LocalPortal
from libs.contracts.envelope import Stream
from tests.conftest import FAST
from tests.portal import Person, somebody
from tests.system.chaos.ledger import Ledger, Write
from tests.system.chaos.records import SERVICES, Records
from tests.system.chaos.watchers import QUERIES, EventsWatcher, LiveWatcher
from tests.system.chaos.writers import Doors, Writer, ask

KILLS = int(os.environ.get("CHAOS_KILLS", "40"))
SEED = int(os.environ.get("CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
ORGS = ("north", "south")
WRITERS = 5
# Two processes at almost the same moment, so often.
DOUBLE = 0.25
WAIT_READY = 0.6
WITHIN_S = 150.0


@pytest.fixture(scope="module")
def chaotic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPortal]:
    """A portal of its own: nobody else should live through this."""
    data = tmp_path_factory.mktemp("chaos")
    with LocalPortal(data, port=0, replicas={"gateway": 2, "registry": 2}, demo=False, env=FAST) as running:
        yield running


@dataclass
class Watching:
    live: list[LiveWatcher]
    events: list[EventsWatcher]

    def everybody(self) -> list[LiveWatcher | EventsWatcher]:
        return [*self.live, *self.events]

    def complaints(self) -> list[str]:
        return [
            f"{type(watcher).__name__} of {watcher.org}: {complaint}"
            for watcher in self.everybody()
            for complaint in watcher.complaints
        ]


async def test_whatever_dies_what_was_acknowledged_is_applied_once_told_once_and_recorded_once(
    chaotic: LocalPortal, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(SEED)
    begun = time.monotonic()
    with capsys.disabled():
        print(f"\nchaos: seed {SEED}, {KILLS} kills", flush=True)
    everything = set(chaotic.processes)
    ledger = Ledger()
    person = await somebody(chaotic.url)
    doors = Doors([*chaotic.gateways, chaotic.url], person.token)
    orgs = {slug: await _an_org(slug, doors, ledger, rng) for slug in ORGS}

    watching = _watchers(chaotic, orgs, person.token)
    watchers = [asyncio.create_task(watcher.run()) for watcher in watching.everybody()]
    stop = asyncio.Event()
    writers = [
        asyncio.create_task(
            Writer(f"w{n}", org, f"identity/{orgs[org]}=1", doors, ledger, random.Random(f"{SEED} {n}")).run(
                stop
            )
        )
        for n, org in enumerate(ORGS[n % len(ORGS)] for n in range(WRITERS))
    ]
    await ledger.grows(20, WITHIN_S)
    kills = await _kill(chaotic, ledger, rng, everything)
    killing_took = time.monotonic() - begun
    await asyncio.to_thread(chaotic.wait_ready)
    await ledger.grows(20, WITHIN_S)
    stop.set()
    await asyncio.gather(*writers)

    records = await _quiet(chaotic, watching)
    fresh = await _everything(records, chaotic, person, orgs)
    await _pictures_settle(watching, fresh)
    for task in (*watchers, *writers):
        task.cancel()
    results = await asyncio.gather(*watchers, return_exceptions=True)
    await doors.close()

    with capsys.disabled():
        print(
            f"chaos: {sum(kills.values())} kills {dict(kills)}, "
            f"{len(ledger.acknowledged)} acknowledged writes, "
            f"{sum(w.repeats for w in ledger.writes)} repeats, {len(records.all(*SERVICES))} facts, "
            f"{sum(w.transitions for w in watching.live)} transitions on "
            f"{sum(w.connections for w in watching.live)} live connections "
            f"({sum(w.resumed for w in watching.live)} resumed), "
            f"{sum(w.connections for w in watching.events)} event streams, retried {dict(ledger.failures)}, "
            f"{killing_took:.0f} s of kills, {time.monotonic() - begun:.0f} s in all",
            flush=True,
        )
    records.check_sequences()
    records.check_requests()
    records.check_ledger(ledger)
    records.check_reactions()
    records.check_audit()
    _check_reads(records, fresh)
    _check_streams(records, watching)
    wrong = [*ledger.surprises, *watching.complaints(), *records.problems]
    assert not wrong, "\n".join([f"{len(wrong)} broken promises:", *wrong[:50]])
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results
    assert set(kills) == everything
    await _all_run_again(chaotic, everything)
    # Otherwise nothing above says anything.
    assert len(ledger.acknowledged) > 3 * KILLS
    assert sum(watcher.resumed for watcher in watching.live) > 0


async def _an_org(slug: str, doors: Doors, ledger: Ledger, rng: random.Random) -> str:
    write = Write(slug, ("org", slug), "/v1/orgs", {"slug": slug, "name": slug})
    ledger.sent(write)
    answer = await ask(write, doors, ledger, rng)
    assert answer
    ledger.answered(write, answer)
    return str(answer.body["id"])


def _watchers(portal: LocalPortal, orgs: dict[str, str], token: str) -> Watching:
    """One for each gateway, and one that takes another gateway each time."""
    rng = random.Random(SEED + 1)
    first, second = portal.gateways

    def anywhere() -> str:
        return rng.choice([first, second])

    def always(url: str) -> Callable[[], str]:
        return lambda: url

    homes = [(ORGS[0], always(first)), (ORGS[0], always(second)), (ORGS[1], anywhere)]
    return Watching(
        live=[LiveWatcher(org, token, choose, random.Random(f"{SEED} {org}")) for org, choose in homes],
        events=[EventsWatcher(org, org_id, token, anywhere) for org, org_id in orgs.items()],
    )


async def _kill(portal: LocalPortal, ledger: Ledger, rng: random.Random, names: set[str]) -> Counter[str]:
    """Rounds in which each process is killed once, in another order each time."""
    kills: Counter[str] = Counter()
    plan: list[str] = []
    while len(plan) < KILLS:
        plan += rng.sample(sorted(names), len(names))
    while plan:
        await asyncio.sleep(rng.uniform(0, 0.8))
        several = 2 if rng.random() < DOUBLE else 1
        for name in plan[:several]:
            await asyncio.to_thread(portal.kill, name)
            kills[name] += 1
        del plan[:several]
        if rng.random() < WAIT_READY:
            await asyncio.to_thread(portal.wait_ready)
            await ledger.grows(3, WITHIN_S)
    return kills


async def _all_run_again(portal: LocalPortal, names: set[str]) -> None:
    """Also what nobody waits for: the portal is ready without the broker's name server."""
    deadline = time.monotonic() + WITHIN_S
    while set(portal.processes) != names:
        assert time.monotonic() < deadline, f"{sorted(names - set(portal.processes))} did not come back"
        await asyncio.sleep(0.1)


async def _quiet(portal: LocalPortal, watching: Watching) -> Records:
    """Waits until everything is sent, recorded and told."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        records = await asyncio.to_thread(Records.read, portal.mongo_admin_url)
        told = all(
            len(facts) <= watcher.position(stream.service)
            for watcher in watching.events
            for stream, facts in records.facts.items()
            if stream.org == watcher.org_id
        )
        # Told too late or never is for the comparison to say, as is everything else that is missing.
        if (records.are_quiet and told) or time.monotonic() > deadline:
            return records
        await asyncio.sleep(0.2)


Reads = dict[tuple[str, str, str], object]


async def _everything(records: Records, portal: LocalPortal, person: Person, orgs: dict[str, str]) -> Reads:
    """Each watched query, by HTTP, of each gateway, at or past the last sequence of its stream."""
    paths = {"apps": "apps?limit=200", "live": "environments/production/apps", "members": "members"}
    found: Reads = {}
    for url in portal.gateways:
        async with httpx.AsyncClient(base_url=url, headers=person.http.headers, timeout=20) as http:
            for slug in records.slugs.values():
                # Also those that were made while this gateway heard of nothing.
                answer = await http.get(f"/v1/orgs/{slug}")
                if answer.status_code != 200:
                    records.problems.append(f"{url} does not know {slug}: {answer.text[:200]}")
            for org, org_id in orgs.items():
                for name, path in paths.items():
                    service = QUERIES[name][0].split(".")[0]
                    head = records.heads.get(Stream(service, org_id), 0)
                    answer = await http.get(
                        f"/v1/orgs/{org}/{path}", headers={"mes-after": f"{service}/{org_id}={head}"}
                    )
                    assert answer.status_code == 200, answer.text
                    found[url, org, name] = answer.json()
    return found


async def _pictures_settle(watching: Watching, fresh: Reads) -> None:
    """Waits until each live client's picture equals a fresh read."""
    deadline = time.monotonic() + 60
    while True:
        wrong = [
            f"{watcher.org} {name}"
            for watcher in watching.live
            for (_, org, name), read in fresh.items()
            if org == watcher.org and watcher.values.get(name) != read
        ]
        if not wrong:
            return
        assert time.monotonic() < deadline, f"pictures that differ from a fresh read: {wrong}"
        await asyncio.sleep(0.1)


def _check_reads(records: Records, fresh: Reads) -> None:
    """What can be read is what the journals tell."""
    effects = records.effects()
    for (url, org, name), read in fresh.items():
        assert isinstance(read, dict)
        if name == "apps":
            told = {
                effect[2]: sum(other[:3] == ("version", org, effect[2]) for other in effects)
                for effect in effects
                if effect[:2] == ("app", org)
            }
            if {app["slug"]: app["versions"] for app in read["items"]} != told:
                records.problems.append(f"{url} shows other applications of {org} than were made")
        if name == "live":
            live = {
                effect[2]: effect[3]
                for effect in effects
                if effect[:2] == ("deploy.version_went_live", org) and effect[4] == "production"
            }
            if {placed["app"]: placed["version"] for placed in read["items"]} != live:
                records.problems.append(f"{url} shows other versions live in {org} than went live")


def _check_streams(records: Records, watching: Watching) -> None:
    """An event stream, through all its reconnects, is the journal."""
    for watcher in watching.events:
        for service in SERVICES:
            facts = [fact.id for fact in records.facts.get(Stream(service, watcher.org_id), [])]
            received = watcher.received.get(service, [])
            if received[: len(facts)] != facts:
                records.problems.append(
                    f"events of {service} in {watcher.org}: {len(received)} of {len(facts)}, "
                    f"missing {sorted(set(facts) - set(received))[:5]}"
                )
