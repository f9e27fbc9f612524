"""The load: people who create, publish and roll out, and who repeat a request until it is answered."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.portal import a_build, a_tar
from tests.system.chaos.ledger import Answer, Ledger, Write

ENVIRONMENTS = ("development", "staging", "production")
MOST_APPS = 12
# Longer than any outage here, a broker's start included.
ANSWERED_WITHIN_S = 120.0
REQUEST_TIMEOUT_S = 20.0


class Doors:
    """Clients of every address of the portal; each attempt takes any of them."""

    def __init__(self, urls: list[str], token: str) -> None:
        headers = {"authorization": f"Bearer {token}"}
        self._clients = [
            httpx.AsyncClient(base_url=url, headers=headers, timeout=REQUEST_TIMEOUT_S, trust_env=False)
            for url in urls
        ]

    def any(self, rng: random.Random) -> httpx.AsyncClient:
        return rng.choice(self._clients)

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


async def ask(write: Write, doors: Doors, ledger: Ledger, rng: random.Random) -> Answer | None:
    """The same key until there is an answer, as the portal's own clients do it."""
    deadline = time.monotonic() + ANSWERED_WITHIN_S
    while time.monotonic() < deadline:
        write.attempts += 1
        try:
            response = await doors.any(rng).post(
                write.path,
                headers={"idempotency-key": write.key, "mes-after": write.after},
                **_content(write),
            )
        except httpx.TransportError as error:
            ledger.failures[type(error).__name__] += 1
            await asyncio.sleep(rng.uniform(0.02, 0.2))
            continue
        if response.status_code == write.status:
            body = response.json()
            if isinstance(body, dict):
                body.pop("trace_id", None)  # of a refusal: it names the attempt, not the answer
            return Answer(response.status_code, body, response.headers.get("mes-version"))
        problem = f"{response.status_code} to {write.effect}: {response.text[:300]}"
        if response.status_code != 503 or "retry-after" not in response.headers:
            ledger.surprise(problem)
            if response.status_code < 500:
                return None
        ledger.failures[f"{response.status_code} {_code(response)}"] += 1
        await asyncio.sleep(rng.uniform(0.1, 0.4))
    ledger.surprise(f"no answer within {ANSWERED_WITHIN_S:.0f} s to {write.effect}")
    return None


@dataclass
class Writer:
    """One person's script, made up as they go; the seed decides what comes next."""

    name: str
    org: str
    after: str
    doors: Doors
    ledger: Ledger
    rng: random.Random
    apps: dict[str, list[str]] = field(default_factory=dict)
    rollouts_left: list[tuple[str, str, str]] = field(default_factory=list)
    _count: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._next()
            await asyncio.sleep(self.rng.uniform(0.0, 0.06))

    async def _next(self) -> None:
        chance = self.rng.random()
        if not self.apps or (chance < 0.15 and len(self.apps) < MOST_APPS):
            await self._create_app()
        elif chance < 0.5:
            await self._publish()
        elif chance < 0.75 and self.rollouts_left:
            await self._roll_out()
        elif chance < 0.8:
            await self._create_app_again()
        elif chance < 0.85:
            await self._create_org()
        else:
            await self._repeat()

    async def _create_app(self) -> None:
        slug = self._new("app")
        done = await self._write(
            Write(
                key=slug,
                effect=("app", self.org, slug),
                path=f"/v1/orgs/{self.org}/apps",
                body={"slug": slug, "name": slug, "kind": "remote"},
            )
        )
        if done:
            self.apps[slug] = []

    async def _publish(self) -> None:
        app = self.rng.choice(sorted(self.apps))
        version = f"1.{len(self.apps[app])}.0"
        done = await self._write(
            Write(
                key=f"{app}-{version}",
                effect=("version", self.org, app, version),
                path=f"/v1/orgs/{self.org}/apps/{app}/versions",
                body={"version": version},
                file=a_tar(a_build("remote", f"{app} {version}")),
            )
        )
        if done:
            self.apps[app].append(version)
            self.rollouts_left += [(environment, app, version) for environment in ENVIRONMENTS]

    async def _roll_out(self) -> None:
        # Each version goes to each environment once at most, so that a rollout is known by its target.
        chosen = self.rollouts_left.pop(self.rng.randrange(len(self.rollouts_left)))
        environment, app, version = chosen
        await self._write(
            Write(
                key=self._new("rollout"),
                effect=("rollout", self.org, app, version, environment),
                path=f"/v1/orgs/{self.org}/environments/{environment}/rollouts",
                body={"app": app, "version": version},
            )
        )

    async def _create_app_again(self) -> None:
        """Under another key, so it is refused; the name tells the attempt from others."""
        name = self._new("again")
        await self._write(
            Write(
                key=name,
                effect=("refused", self.org, name),
                path=f"/v1/orgs/{self.org}/apps",
                body={"slug": self.rng.choice(sorted(self.apps)), "name": name, "kind": "remote"},
                status=409,
            )
        )

    async def _create_org(self) -> None:
        slug = self._new("org")
        await self._write(
            Write(key=slug, effect=("org", slug), path="/v1/orgs", body={"slug": slug, "name": slug})
        )

    async def _repeat(self) -> None:
        """Any write that anybody got an answer to, under its own key."""
        if not self.ledger.acknowledged:
            return
        write = self.rng.choice(self.ledger.acknowledged)
        write.repeats += 1
        again = await ask(write, self.doors, self.ledger, self.rng)
        if again is not None and again != write.answer:
            self.ledger.surprise(f"{write.effect} was answered {write.answer}, and repeated {again}")

    async def _write(self, write: Write) -> bool:
        write.after = self.after
        self.ledger.sent(write)
        answer = await ask(write, self.doors, self.ledger, self.rng)
        if answer is not None:
            self.ledger.answered(write, answer)
        return answer is not None

    def _new(self, what: str) -> str:
        self._count += 1
        return f"{what}-{self.name}-{self._count}"


def _content(write: Write) -> dict[str, Any]:
    if write.file is None:
        return {"json": write.body}
    return {"data": write.body, "files": {"file": ("build.tar.gz", write.file)}}


def _code(response: httpx.Response) -> str:
    try:
        return str(response.json().get("code"))
    except ValueError:
        return "no problem"
