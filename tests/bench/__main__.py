"""`make bench`: the portal against yardsticks on the same machine, in one run, medians after a warm-up.

Nothing here is a test: it prints what it measured, and exits 0 also when a number disappoints.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import orjson
import uvloop
from rich.console import Console
from rich.table import Table

from deploy.local import LocalPortal
from tests.bench import bare, decisions, http, revocation
from tests.bench.sockets import Watcher
from tests.portal import Person, somebody

REMOVALS = int(os.environ.get("MES_BENCH_REMOVALS", "100"))
ROUNDS = int(os.environ.get("MES_BENCH_ROUNDS", "5"))
SECONDS = float(os.environ.get("MES_BENCH_SECONDS", "4"))
WRITERS = 32
READERS = 32
ORGS = 8
WATCHERS = 1_000
WRITES_A_SECOND = 100
console = Console()


class Report:
    def __init__(self) -> None:
        self.table = Table("what", "median", "lowest", "highest", "wanted", title="MES Portal, one run")

    def row(self, what: str, values: list[float], form: str = "{:,.0f}", wanted: str = "") -> None:
        low, high, middle = min(values), max(values), statistics.median(values)
        self.table.add_row(what, *(form.format(value) for value in (middle, low, high)), wanted)


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalPortal(Path(folder), port=0, replicas={}, demo=False, env={}) as portal,
    ):
        report = Report()
        _decisions(report)
        uvloop.run(_all(portal, Path(folder), report))
        for name, pid in sorted(portal.processes.items()):
            report.row(f"resident memory, {name} (MB)", [_resident_mb(pid)])
        console.print(report.table)
    revocation.main(REMOVALS)


def _decisions(report: Report) -> None:
    console.print("decisions in one process")
    found, allowed = decisions.rates(ROUNDS)
    report.row(f"decisions in one process, {allowed:.0%} allowed (1/s)", found, wanted="≥ 200,000")


async def _all(portal: LocalPortal, folder: Path, report: Report) -> None:
    port = int(portal.url.rsplit(":", 1)[1])
    person = await somebody(portal.url)
    orgs = [await person.make_org() for _ in range(ORGS)]
    await _commands(portal, port, person, orgs, report)
    await _reads(port, person, orgs[0], report)
    await _latency(port, person, folder, report)
    await _fan_out(port, person, report)


async def _commands(portal: LocalPortal, port: int, person: Person, orgs: list[str], report: Report) -> None:
    numbers = itertools.count()
    run = secrets.token_hex(3)

    def create_app() -> bytes:
        number = next(numbers)
        body = {"slug": f"a{run}-{number}", "name": "An application", "kind": "remote"}
        return http.request("POST", f"/v1/orgs/{orgs[number % ORGS]}/apps", person.token, orjson.dumps(body))

    url = portal.mongo_url("registry")
    yardstick, commands, shares, failures = [], [], [], 0
    latencies: list[float] = []
    for number in range(ROUNDS + 1):
        console.print(f"commands, round {number} of {ROUNDS}")
        bare_rate = await bare.transactions(url, WRITERS, SECONDS)
        load = await http.run(port, WRITERS, SECONDS, create_app)
        # What was committed is still on its way to the log and the caches; it must not slow the yardstick.
        await _quiet(person, orgs[0])
        if number:
            yardstick.append(bare_rate)
            commands.append(load.per_second)
            shares.append(load.per_second / bare_rate)
            latencies += load.latencies
            failures += load.failures
    report.row("bare two-document transactions (1/s)", yardstick)
    report.row(f"commands through the gateway, {WRITERS} writers (1/s)", commands)
    report.row("  as a share of the bare transactions", shares, "{:.2f}", "≥ 0.5")
    report.row("  time of a command under that load (ms)", [1000 * v for v in latencies], "{:.1f}")
    if failures:
        report.row("  refused or failed", [failures])


async def _reads(port: int, person: Person, org: str, report: Report) -> None:
    path = f"/v1/orgs/{org}/apps?limit=5"
    size = len((await person.call("GET", path, 200)).content)
    bare_port = _free_port()
    server = subprocess.Popen(  # noqa: ASYNC220 — nothing else runs meanwhile
        [
            sys.executable,
            "-m",
            "tests.bench.bare",
            str(bare_port),
            str(size),
        ]
    )
    try:
        await _answers(bare_port)
        fixed = http.request("GET", "/fixed")
        cached = http.request("GET", path, person.token)
        rates: dict[str, list[float]] = {"bare": [], "cached": [], "share": []}
        for number in range(ROUNDS + 1):
            console.print(f"cached reads, round {number} of {ROUNDS}")
            bare_load = await http.run(bare_port, READERS, SECONDS / 2, lambda: fixed)
            load = await http.run(port, READERS, SECONDS / 2, lambda: cached)
            assert not load.failures, "a cached read failed"
            if number:
                rates["bare"].append(bare_load.per_second)
                rates["cached"].append(load.per_second)
                rates["share"].append(load.per_second / bare_load.per_second)
    finally:
        server.terminate()
        server.wait()
    report.row(f"bare FastAPI route, {size} fixed bytes (1/s)", rates["bare"])
    report.row("cached reads, signed in, same size (1/s)", rates["cached"])
    report.row("  as a share of the bare route", rates["share"], "{:.2f}", "≥ 0.5")


async def _latency(port: int, person: Person, folder: Path, report: Report) -> None:
    """From the end of a commit, as its span tells, to the frame in the client's hands."""
    console.print(f"commit to client at {WRITES_A_SECOND} writes a second")
    org = await person.make_org()
    apps = [await person.make_app(org, f"app-{number}") for number in range(10)]
    arrived: dict[str, float] = {}

    def on_frame(at: float, frame: bytes) -> None:
        message = orjson.loads(frame)
        if message["type"] == "transition":
            for item in message["set"][0]["value"]["items"]:
                arrived.setdefault(item["name"], at)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(
        lambda: Watcher(person.token, "registry.list_apps", {"org": org}, on_frame), "127.0.0.1", port
    )
    await _until(lambda: bool(arrived))
    traces: dict[str, tuple[str, float]] = {}
    limits = httpx.Limits(max_connections=20, max_keepalive_connections=20)

    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=person.http.headers, limits=limits
    ) as client:

        async def rename(number: int) -> None:
            name = f"name {number}"
            sent = time.time()
            answer = await client.patch(f"/v1/orgs/{org}/apps/{apps[number % 10]}", json={"name": name})
            assert answer.status_code == 200, answer.text
            traces[name] = (answer.headers["mes-trace"], sent)

        began = time.perf_counter()
        tasks = []
        for number in range(WRITES_A_SECOND * 12):
            pause = began + number / WRITES_A_SECOND - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            tasks.append(asyncio.create_task(rename(number)))
        await asyncio.gather(*tasks)
        rate = len(tasks) / (time.perf_counter() - began)
    await asyncio.sleep(1.5)
    transport.close()
    commits = _commit_ends(folder / "traces" / "registry.jsonl")
    # The first two seconds warm up. A name that a newer one of the same application overtook is not shown.
    counted = [f"name {number}" for number in range(2 * WRITES_A_SECOND, 12 * WRITES_A_SECOND)]
    seen = [name for name in counted if name in arrived and traces[name][0] in commits]
    after_commit = [1000 * (arrived[name] - commits[traces[name][0]]) for name in seen]
    after_sending = [1000 * (arrived[name] - traces[name][1]) for name in seen]
    report.row("writes a second, offered and done", [rate])
    report.row("changes seen by the watcher (of 1,000)", [len(seen)])
    for what, values, wanted in (
        ("commit to client", after_commit, "≤ 10"),
        ("request sent to client", after_sending, ""),
    ):
        ordered = sorted(values)
        report.row(f"{what}, p50 (ms)", [statistics.median(ordered)], "{:.1f}", wanted)
        report.row(f"{what}, p99 (ms)", [ordered[int(len(ordered) * 0.99)]], "{:.1f}")


async def _fan_out(port: int, person: Person, report: Report) -> None:
    console.print(f"one change to {WATCHERS} subscribers")
    org = await person.make_org()
    app = await person.make_app(org)
    got: dict[str, int] = {}
    last: dict[str, float] = {}

    def on_frame(at: float, frame: bytes) -> None:
        message = orjson.loads(frame)
        if message["type"] == "transition":
            name = message["set"][0]["value"]["name"]
            got[name] = got.get(name, 0) + 1
            last[name] = at

    loop = asyncio.get_running_loop()
    watchers = []
    for _ in range(WATCHERS):
        watcher = Watcher(person.token, "registry.get_app", {"org": org, "app": app}, on_frame)
        transport, _ = await loop.create_connection(lambda it=watcher: it, "127.0.0.1", port)  # type: ignore[misc]
        watchers.append(transport)
    await _until(lambda: sum(got.values()) >= WATCHERS)
    rates, whole = [], []
    for number in range(ROUNDS + 1):
        name = f"round {number}"
        began = time.time()
        await person.call("PATCH", f"/v1/orgs/{org}/apps/{app}", 200, json={"name": name})
        await _until(lambda wanted=name: got.get(wanted, 0) >= WATCHERS)  # type: ignore[misc]
        if number:
            whole.append(1000 * (last[name] - began))
            rates.append(WATCHERS / (last[name] - began))
    for transport in watchers:
        transport.close()
    report.row(f"one change at {WATCHERS:,} subscribers, sent to last (ms)", whole)
    report.row("  messages a second, the command included", rates)


def _commit_ends(path: Path) -> dict[str, float]:
    """Trace id → when its commit ended, in seconds."""
    ends = {}
    for line in path.read_bytes().splitlines():
        span = orjson.loads(line)
        if span["name"] == "journal.commit":
            ends[span["trace"]] = span["end"] / 1e9
    return ends


async def _quiet(person: Person, org: str) -> None:
    """Until the audit log stands still."""
    before = None
    while True:
        answer = await person.call("GET", f"/v1/orgs/{org}/audit/events?limit=1", 200)
        now = answer.json()["items"]
        if now == before:
            return
        before = now
        await asyncio.sleep(0.5)


async def _until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not fact():
            await asyncio.sleep(0.005)


async def _answers(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            except OSError:
                await asyncio.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
