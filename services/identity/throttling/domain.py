"""Rules of waiting after wrong tries. No I/O.

Tries are counted by account and address together first, so that whoever guesses makes only themselves wait;
more generously by account, whatever the address; and by address, whatever the account. Nobody is locked out:
who has signed in from an address before waits half a minute there at most, whatever goes on elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from libs.contracts.base import Moment, Resource
from libs.errors import TooMany

What = Literal["sign_in", "code", "registration", "mail"]
By = Literal["pair", "account", "address"]

FORGOTTEN_AFTER = timedelta(hours=1)
KNOWN_FOR = timedelta(days=90)
# How much of that has to be over before it is written down again.
KNOWN_AGAIN = timedelta(days=1)
# The counts of one address are spread, so that many people behind it don't wait for each other's.
SPREAD = 16


class TooManyTries(TooMany):
    """Too many wrong tries; `Retry-After` says how long to wait."""

    @classmethod
    def after(cls, wait: timedelta) -> TooManyTries:
        seconds = max(1, -int(-wait.total_seconds() // 1))
        refusal = cls(f"try again in {seconds} s")
        refusal.retry_after = seconds
        return refusal


class Limit(NamedTuple):
    """So many tries are free; each one after that doubles the wait, from a second to the longest."""

    free: int
    longest: timedelta


class Limits(NamedTuple):
    pair: Limit
    # At an address from which the account was signed in to before.
    known: Limit
    account: Limit
    address: Limit
    code: Limit
    registrations: Limit
    mails: Limit
    mails_from: Limit


class Tries(Resource):
    """Tries that count together. Forgotten by themselves an hour after the last one."""

    id: str
    count: int
    last_at: Moment
    expires_at: Moment


class KnownAddress(Resource):
    """That somebody signed in to this account from there. Both are digests."""

    id: str
    seen_at: Moment
    expires_at: Moment


class Counter(NamedTuple):
    """One thing that is counted, and how much of it is free."""

    by: By
    id: str
    limit: Limit


def counter(what: What, by: By, limit: Limit, *of: str) -> Counter:
    """Named by digests: what is written down tells neither addresses nor e-mail addresses."""
    return Counter(by, f"{what}:{by}:{_digest(*of)}", limit)


def known_id(email: str, address: str) -> str:
    return _digest(email, address)


def spread(one: Counter, number: int) -> Counter:
    """A share of a counter; `number` is any random number."""
    shares = max(1, min(SPREAD, one.limit.free // 100))
    limit = one.limit._replace(free=one.limit.free // shares)
    return one._replace(id=f"{one.id}:{number % shares}", limit=limit)


def wait(tries: Tries | None, limit: Limit, now: datetime) -> timedelta:
    """How long the next try has to wait; nothing while there are free ones."""
    if tries is None or tries.count < limit.free or now >= tries.expires_at:
        return timedelta(0)
    doublings = min(tries.count - limit.free, 30)
    pause = min(timedelta(seconds=2**doublings), limit.longest)
    return max(tries.last_at + pause - now, timedelta(0))


def check(tried: Iterable[tuple[Counter, Tries | None]], now: datetime) -> None:
    longest = max((wait(tries, one.limit, now) for one, tries in tried), default=timedelta(0))
    if longest:
        raise TooManyTries.after(longest)


def counted(before: Tries | None, one: Counter, now: datetime) -> Tries:
    # What has expired is removed by the database within a minute; until then it counts for nothing.
    count = before.count if before and now < before.expires_at else 0
    return Tries(
        id=one.id,
        count=count + 1,
        last_at=now,
        expires_at=now + FORGOTTEN_AFTER,
        revision=(before.revision if before else 0) + 1,
    )


def forgotten(tries: Tries) -> Tries:
    """Kept rather than deleted: what is made anew would begin with a revision that was there before."""
    return tries.model_copy(update={"count": 0, "revision": tries.revision + 1})


def begins_to_limit(tries: Tries, limit: Limit) -> bool:
    return tries.count == limit.free


def seen(before: KnownAddress | None, name: str, now: datetime) -> KnownAddress | None:
    """What is to be written down of a sign-in, if anything."""
    if before and before.seen_at > now - KNOWN_AGAIN:
        return None
    revision = (before.revision if before else 0) + 1
    return KnownAddress(id=name, seen_at=now, expires_at=now + KNOWN_FOR, revision=revision)


def is_known(found: KnownAddress | None, now: datetime) -> bool:
    return found is not None and now < found.expires_at


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]
