"""Rules of waiting after wrong tries."""

from datetime import datetime, timedelta

import pytest

from services.identity.throttling import domain
from services.identity.throttling.domain import Limit, Tries
from tests.domain.identity.builders import NOW

LIMIT = Limit(free=3, longest=timedelta(minutes=15))
COUNTER = domain.counter("sign_in", "pair", LIMIT, "ada@example.com", "192.0.2.7")


def tried(times: int, now: datetime = NOW) -> Tries | None:
    tries: Tries | None = None
    for _ in range(times):
        tries = domain.counted(tries, COUNTER, now)
    return tries


def test_the_first_tries_are_free() -> None:
    assert [domain.wait(tried(times), LIMIT, NOW) for times in range(3)] == [timedelta(0)] * 3


def test_then_each_one_doubles_the_wait_up_to_the_longest() -> None:
    waits = [domain.wait(tried(times), LIMIT, NOW).total_seconds() for times in (3, 4, 5, 12, 60)]
    assert waits == [1, 2, 4, 512, 900]


def test_the_wait_counts_from_the_last_try() -> None:
    assert domain.wait(tried(5), LIMIT, NOW + timedelta(seconds=3)) == timedelta(seconds=1)
    assert domain.wait(tried(5), LIMIT, NOW + timedelta(seconds=4)) == timedelta(0)


def test_tries_are_forgotten_an_hour_after_the_last_one() -> None:
    later = NOW + domain.FORGOTTEN_AFTER
    assert domain.wait(tried(60), LIMIT, later) == timedelta(0)
    assert domain.counted(tried(60), COUNTER, later).count == 1


def test_a_refusal_says_when_to_come_back() -> None:
    with pytest.raises(domain.TooManyTries) as refusal:
        domain.check([(COUNTER, tried(5)), (COUNTER, None)], NOW + timedelta(milliseconds=100))
    assert refusal.value.problem().retry_after == 4


def test_that_tries_are_limited_is_told_once() -> None:
    told = [domain.begins_to_limit(tries, LIMIT) for n in range(1, 8) if (tries := tried(n))]
    assert told.count(True) == 1


def test_what_is_written_down_names_nobody() -> None:
    assert "ada" not in COUNTER.id
    assert "192" not in COUNTER.id
    assert domain.counter("sign_in", "pair", LIMIT, "ada@example.com", "192.0.2.8").id != COUNTER.id


def test_the_counts_of_a_busy_address_are_spread_and_come_to_the_same() -> None:
    generous = COUNTER._replace(limit=Limit(1_600, timedelta(minutes=1)))
    shares = {domain.spread(generous, number) for number in range(domain.SPREAD)}
    assert sum(share.limit.free for share in shares) == 1_600
    assert len({share.id for share in shares}) == domain.SPREAD
    assert domain.spread(COUNTER, 7).limit == LIMIT, "a small limit is not shared out"


def test_a_known_address_is_written_down_once_a_day_and_forgotten_in_the_end() -> None:
    seen = domain.seen(None, "name", NOW)
    assert seen is not None
    assert domain.is_known(seen, NOW + timedelta(days=89))
    assert not domain.is_known(seen, NOW + timedelta(days=90))
    assert domain.seen(seen, "name", NOW + timedelta(hours=23)) is None
    again = domain.seen(seen, "name", NOW + timedelta(hours=25))
    assert again is not None
    assert again.revision == 2
