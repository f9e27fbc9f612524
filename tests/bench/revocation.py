"""Many removals of one right, each with 200 subscriptions open and requests under way on two gateways."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path

from deploy.local import LocalPortal
from tests.portal import Person, somebody
from tests.revocation import keep_changing, watch_removal

WARM_UP = 3


async def removals(portal: LocalPortal, rounds: int) -> list[float]:
    """Milliseconds from each removal's answer to the last successful read."""
    owner, member = [await somebody(portal.gateways[0]) for _ in range(2)]
    org = await owner.make_org()
    app = await owner.make_app(org)
    await owner.invite(org, member, "member")
    path = f"/v1/orgs/{org}/apps/{app}"
    changing = asyncio.create_task(
        keep_changing(lambda number: owner.call("PATCH", path, 200, json={"name": f"Name {number}"}))
    )
    try:
        return [await _one(portal, owner, member, org, app) for _ in range(WARM_UP + rounds)][WARM_UP:]
    finally:
        changing.cancel()
        await changing


async def _one(portal: LocalPortal, owner: Person, member: Person, org: str, app: str) -> float:
    below = f"/v1/orgs/{org}/assignments"
    body = {"subject": {"type": "user", "id": member.id}, "role": "viewer", "resource": f"{org}/{app}"}
    made = (await owner.call("POST", below, 201, json=body)).json()
    # Every gateway knows of it before anybody watches.
    for gateway in portal.gateways:
        while (await member.http.get(f"{gateway}/v1/orgs/{org}/apps/{app}")).status_code != 200:
            await asyncio.sleep(0.005)
    seen = await watch_removal(
        portal.gateways, member.token, org, app, lambda: owner.call("DELETE", f"{below}/{made['id']}", 204)
    )
    return seen.seconds * 1000


def main(rounds: int = 100) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalPortal(Path(folder), port=0, replicas={"gateway": 2}, demo=False, env={}) as portal,
    ):
        found = sorted(asyncio.run(removals(portal, rounds)))
    p99 = found[max(0, round(len(found) * 0.99) - 1)]
    print(
        f"{len(found)} removals: median {statistics.median(found):.1f} ms, p99 {p99:.1f} ms, "
        f"longest {found[-1]:.1f} ms after the removal's answer (wanted: p99 under 100 ms)"
    )


if __name__ == "__main__":
    main()
