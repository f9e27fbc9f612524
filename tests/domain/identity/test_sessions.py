"""Rules of sessions: one generation after the other."""

from datetime import timedelta

import pytest

from libs.contracts.identity import SessionEnded
from libs.permissions import PLATFORM
from services.identity.sessions import domain
from tests.domain.identity.builders import LIFETIME, NOW, a_session


def test_a_sign_in_is_told_to_the_installation_and_to_each_organization() -> None:
    session, events = domain.open_for("ses_1", "usr_ada", ["org_a", "org_b"], NOW, LIFETIME)
    assert [event.tenant() for event in events] == [PLATFORM, "org_a", "org_b"]
    assert (session.generation, session.revision, session.expires_at) == (1, 1, NOW + LIFETIME)


def test_a_sign_in_is_told_to_fifty_organizations_at_most() -> None:
    _, events = domain.open_for("ses_1", "usr_ada", [f"org_{n}" for n in range(80)], NOW, LIFETIME)
    assert len(events) == 51


def test_a_refresh_moves_to_the_next_generation_and_lives_anew() -> None:
    later = NOW + timedelta(days=3)
    turned = domain.turn(a_session(generation=3), 3, later, LIFETIME)
    assert (turned.generation, turned.revision, turned.expires_at) == (4, 4, later + LIFETIME)


def test_the_generation_before_is_told_the_present_one_for_ten_seconds() -> None:
    session = a_session(generation=3)
    assert domain.turn(session, 2, NOW + timedelta(seconds=9), LIFETIME) is session
    with pytest.raises(domain.RefreshReused):
        domain.turn(session, 2, NOW + timedelta(seconds=10), LIFETIME)


def test_a_generation_older_than_that_is_never_accepted() -> None:
    with pytest.raises(domain.RefreshReused):
        domain.turn(a_session(generation=3), 1, NOW, LIFETIME)


def test_a_generation_that_never_was_is_refused() -> None:
    with pytest.raises(domain.RefreshRefused):
        domain.turn(a_session(generation=3), 4, NOW, LIFETIME)


def test_a_session_that_is_over_is_not_refreshed() -> None:
    for session in (None, a_session(ended=True), a_session(turned=NOW - LIFETIME)):
        with pytest.raises(domain.RefreshRefused):
            domain.turn(session, 3, NOW, LIFETIME)


def test_a_session_ended_by_reuse_says_so_again() -> None:
    ended, events = domain.end(a_session(), "refresh_reused", NOW)
    assert events == [SessionEnded(user="usr_ada", session="ses_1", reason="refresh_reused")]
    with pytest.raises(domain.RefreshReused):
        domain.turn(ended, 3, NOW, LIFETIME)


def test_ending_twice_is_ending_once() -> None:
    ended = a_session(ended=True)
    assert domain.end(ended, "signed_out", NOW) == (ended, [])


def test_a_session_is_its_users_own() -> None:
    with pytest.raises(domain.SessionNotFound):
        domain.own(a_session(), "usr_eve")
