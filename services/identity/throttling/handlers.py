"""Counting tries: before one is looked at, after it was wrong, and where every one costs something."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable
from weakref import WeakValueDictionary

from libs.contracts.base import Event
from libs.contracts.identity import TriesLimited
from libs.permissions import PLATFORM
from libs.service.request import Request
from libs.store.commit import StateChanged
from libs.store.database import Change
from services.identity.throttling import domain, store
from services.identity.throttling.domain import Counter, Limits, Tries, What

logger = logging.getLogger(__name__)
# Of counting against other replicas; each try finds a newer count.
COUNTING_TRIES = 12


class Throttling:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def one_at_a_time(self, email: str) -> asyncio.Lock:
        """Of guesses that come at once, each is looked at after those before it were counted. Between
        replicas, at most one more than is free gets through."""
        lock = self._locks.get(email)
        if lock is None:
            lock = self._locks[email] = asyncio.Lock()
        return lock

    async def admit(self, request: Request, email: str) -> None:
        """Raises TooManyTries before a password is looked at."""
        counters, _ = await self._sign_in(request, email)
        domain.check(await store.tries(request.scope, counters), request.now)

    async def wrong(self, request: Request, email: str) -> None:
        counters, known = await self._sign_in(request, email)
        if known:
            limits = self._limits
            counters = [*counters, *self._elsewhere(request, email, limits)]
        await self._count(request, "sign_in", counters, email)

    async def right(self, request: Request, email: str) -> list[Change]:
        """What is forgotten and what is remembered once somebody has signed in."""
        name = domain.known_id(email, _address(request))
        before = await store.known(request.scope, name)
        seen = domain.seen(before, name, request.now)
        changes = [store.KNOWN_ADDRESSES.put(seen, org=PLATFORM)] if seen else []
        pair = domain.counter("sign_in", "pair", self._limits.pair, email, _address(request))
        for _, tries in await store.tries(request.scope, [pair, await self._code(request, email)]):
            if tries and tries.count:
                changes.append(store.TRIES.put(domain.forgotten(tries), org=PLATFORM))
        return changes

    async def admit_code(self, request: Request, email: str) -> None:
        tried = await store.tries(request.scope, [await self._code(request, email)])
        domain.check(tried, request.now)

    async def wrong_code(self, request: Request, email: str) -> None:
        await self._count(request, "code", [await self._code(request, email)], email)

    async def spend(self, request: Request, what: What, email: str = "") -> None:
        """Counts something of which every one costs, right or wrong. Raises TooManyTries."""
        address = _address(request)
        if what == "registration":
            counters = [domain.counter(what, "address", self._limits.registrations, address)]
        else:
            counters = [
                domain.counter(what, "address", self._limits.mails_from, address),
                domain.counter(what, "pair", self._limits.mails, email, address),
            ]
        shares = [domain.spread(one, secrets.randbelow(domain.SPREAD)) for one in counters]
        domain.check(await store.tries(request.scope, shares), request.now)
        await self._count(request, what, shares, email)

    async def _sign_in(self, request: Request, email: str) -> tuple[list[Counter], bool]:
        """What a sign-in is counted by. Where the account was signed in to from this address before, what
        others do elsewhere does not matter."""
        address = _address(request)
        found = await store.known(request.scope, domain.known_id(email, address))
        limits = self._limits
        if domain.is_known(found, request.now):
            return [domain.counter("sign_in", "pair", limits.known, email, address)], True
        pair = domain.counter("sign_in", "pair", limits.pair, email, address)
        return [pair, *self._elsewhere(request, email, limits)], False

    def _elsewhere(self, request: Request, email: str, limits: Limits) -> list[Counter]:
        by_address = domain.counter("sign_in", "address", limits.address, _address(request))
        return [
            domain.counter("sign_in", "account", limits.account, email),
            domain.spread(by_address, secrets.randbelow(domain.SPREAD)),
        ]

    async def _code(self, request: Request, email: str) -> Counter:
        """Codes are counted by account, whatever the address: who tries them has the password. A known
        address counts apart, so that its owner is not kept out."""
        address = _address(request)
        found = await store.known(request.scope, domain.known_id(email, address))
        where = address if domain.is_known(found, request.now) else "elsewhere"
        return domain.counter("code", "account", self._limits.code, email, where)

    async def _count(self, request: Request, what: What, counters: Iterable[Counter], email: str) -> None:
        counters = list(counters)
        for _ in range(COUNTING_TRIES):
            changes: list[Change] = []
            events: list[Event] = []
            for one, before in await store.tries(request.scope, counters):
                tries: Tries = domain.counted(before, one, request.now)
                changes.append(store.TRIES.put(tries))
                if domain.begins_to_limit(tries, one.limit):
                    events.append(TriesLimited(what=what, scope=one.by, email=email))
            try:
                await store.save_apart(request, changes, events)
                return
            except StateChanged:
                await asyncio.sleep(0)
        logger.warning("a try of %s could not be counted: others kept counting", what)


def _address(request: Request) -> str:
    return request.caller.address or "nowhere"
