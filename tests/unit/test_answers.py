"""Answers are shared by those with the same rights, and stale exactly when an event says so."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from libs.contracts.envelope import Fact
from libs.contracts.registry import AppCreated, GetApp, ListApps, ListVersions
from libs.errors import InternalError, NotFound
from libs.live import answers as module
from libs.live.answers import Answer, Answers
from libs.live.subscriber import Subscriber
from libs.permissions import EVERYTHING, Visible


def a_fact(sequence: int, org: str = "org_a", app: str = "one", service: str = "registry") -> Fact:
    event = AppCreated(org=org, app=app, kind="remote")
    return Fact(
        service=service,
        org=org,
        sequence=sequence,
        type=event.message,
        subject=event.resource(),
        time=datetime(2026, 1, 1, tzinfo=UTC),
        data={},
        topics=event.topics(),
    )


def filled(answers: Answers, query: ListApps | GetApp | ListVersions, at: int) -> Answer:
    answer = answers.of(query)
    answer.fill({"at": at}, None, at)
    return answer


def test_the_same_question_with_the_same_rights_has_one_answer() -> None:
    answers = Answers()
    first = answers.of(ListApps(org="org_a", visible=EVERYTHING))
    assert answers.of(ListApps(org="org_a", visible=EVERYTHING)) is first
    assert len(answers) == 1


def test_other_rights_have_another_answer() -> None:
    answers = Answers()
    found = {
        id(answers.of(query))
        for query in (
            ListApps(org="org_a", visible=EVERYTHING),
            ListApps(org="org_a", visible=Visible(False, ("one",))),
            ListApps(org="org_a", visible=Visible(False, ("one", "two"))),
            ListApps(org="org_b", visible=EVERYTHING),
            ListApps(org="org_a", visible=EVERYTHING, limit=10),
        )
    }
    assert len(found) == 5


def test_an_answer_is_stale_until_it_is_read() -> None:
    answers = Answers()
    answer = answers.of(GetApp(org="org_a", app="one"))
    assert answer.stale
    answer.fill({}, None, 3)
    assert not answer.stale


def test_an_event_makes_stale_what_it_touches_and_nothing_else() -> None:
    answers = Answers()
    one = filled(answers, GetApp(org="org_a", app="one"), 1)
    two = filled(answers, GetApp(org="org_a", app="two"), 1)
    listed = filled(answers, ListApps(org="org_a", visible=EVERYTHING), 1)
    elsewhere = filled(answers, GetApp(org="org_b", app="one"), 1)
    answers.touch(a_fact(2))
    assert (one.stale, two.stale, listed.stale, elsewhere.stale) == (True, False, True, False)


def test_an_event_that_the_reading_has_seen_changes_nothing() -> None:
    answers = Answers()
    answer = filled(answers, GetApp(org="org_a", app="one"), 5)
    answers.touch(a_fact(4))
    answers.touch(a_fact(5))
    assert not answer.stale


def test_another_services_event_is_in_another_stream() -> None:
    answers = Answers()
    answer = filled(answers, GetApp(org="org_a", app="one"), 1)
    answers.touch(a_fact(9, service="deploy"))
    assert not answer.stale


def test_an_older_reading_never_replaces_a_newer_one() -> None:
    answers = Answers()
    answer = filled(answers, GetApp(org="org_a", app="one"), 5)
    assert not answer.fill({"at": 4}, None, 4)
    assert answer.body == b'{"at":5}'
    assert answer.read_at == 5


def test_the_same_bytes_again_are_no_change() -> None:
    answers = Answers()
    answer = answers.of(GetApp(org="org_a", app="one"))
    assert answer.fill({"a": 1}, None, 1)
    etag = answer.etag
    assert not answer.fill({"a": 1}, None, 2)
    assert answer.etag == etag
    assert answer.fill({"a": 2}, None, 3)
    assert answer.etag != etag


def test_a_refusal_is_an_answer_too_whatever_trace_it_was_made_in() -> None:
    answers = Answers()
    answer = answers.of(GetApp(org="org_a", app="one"))
    problem = NotFound("one").problem()
    assert answer.fill(None, problem.model_copy(update={"trace_id": "a" * 32}), 1)
    assert not answer.fill(None, problem.model_copy(update={"trace_id": "b" * 32}), 2)
    assert not answer.stale
    assert not answer.failed
    answer.fill(None, InternalError("").problem(), 3)
    assert answer.failed


def test_what_may_have_missed_an_event_is_doubted() -> None:
    answers = Answers()
    mine = filled(answers, GetApp(org="org_a", app="one"), 1)
    other = filled(answers, GetApp(org="org_b", app="one"), 1)
    answers.doubt([mine.stream])
    assert mine.stale
    assert not other.stale
    mine.fill({}, None, 1)
    assert not mine.stale


def test_an_event_tells_whether_anybody_watches() -> None:
    answers, subscriber = Answers(), Subscriber()
    answer = filled(answers, GetApp(org="org_a", app="one"), 1)
    assert not answers.touch(a_fact(2))
    answers.watch(answer, subscriber, "a")
    assert answers.touch(a_fact(3))
    answers.unwatch(answer, subscriber, "a")
    assert not answers.touch(a_fact(4))
    assert answers.watched(answer.stream) == []


def test_what_nobody_used_longest_is_forgotten_but_never_what_is_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWERS", 20)
    answers, subscriber = Answers(), Subscriber()
    watched = filled(answers, GetApp(org="org_a", app="watched"), 1)
    answers.watch(watched, subscriber, "a")
    first = filled(answers, GetApp(org="org_a", app="first"), 1)
    for number in range(200):
        filled(answers, GetApp(org="org_a", app=f"app-{number}"), 1)
    assert len(answers) <= 21
    assert answers.of(GetApp(org="org_a", app="watched")) is watched
    # One that was forgotten hears of no event any more, so nobody may take it for fresh.
    assert first.stale
    assert answers.of(GetApp(org="org_a", app="first")) is not first
