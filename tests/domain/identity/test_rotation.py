"""Rules of changing the signing key."""

from datetime import timedelta

import pytest

from services.identity.keys import domain
from services.identity.keys.domain import Keyring
from services.identity.keys.tokens import TokenMaker, new_key, new_keyring
from tests.domain.identity.builders import NOW, a_session, an_account

FIRST = timedelta(minutes=5)
TOKENS = timedelta(minutes=15)
LATER = NOW + timedelta(days=1)


def rotated(keyring: Keyring, now: object = LATER) -> Keyring:
    return domain.rotate(keyring, new_key(), now, FIRST, TOKENS)[0]  # type: ignore[arg-type]


def kids(keyring: Keyring) -> list[str]:
    return [str(key["kid"]) for key in keyring.published()]


def test_the_next_key_is_published_before_it_signs() -> None:
    keyring = new_keyring(NOW)
    current, upcoming = kids(keyring)
    after = rotated(keyring)
    assert kids(after)[:2] == [upcoming, current]
    assert after.answer().next not in (current, upcoming)


def test_a_key_that_was_just_published_does_not_sign_yet() -> None:
    with pytest.raises(domain.RotationTooSoon):
        rotated(new_keyring(NOW), NOW + FIRST - timedelta(seconds=1))
    rotated(new_keyring(NOW), NOW + FIRST)


def test_a_former_key_verifies_until_its_last_token_has_run_out() -> None:
    first = new_keyring(NOW)
    (old, _) = kids(first)
    second = rotated(first, LATER)
    assert old in kids(rotated(second, LATER + TOKENS - timedelta(seconds=1)))
    assert old not in kids(rotated(second, LATER + TOKENS))


def test_what_was_signed_before_a_rotation_still_verifies() -> None:
    maker = TokenMaker("mes", timedelta(minutes=10))
    maker.use(new_keyring(NOW))
    token = maker.tokens(a_session(), an_account(), NOW).access_token
    kid = maker.keyring.signing[0]["kid"]
    maker.use(rotated(maker.keyring))
    assert kid in [key["kid"] for key in maker.public().keys]
    assert maker.tokens(a_session(), an_account(), NOW).access_token.split(".")[0] != token.split(".")[0]


def test_derived_tokens_outlive_a_rotation() -> None:
    keyring = new_keyring(NOW)
    token = keyring.seal("refresh", "ses_1", "3")
    assert rotated(keyring).unseal("refresh", token) == ("ses_1", "3")


def test_nothing_private_is_published() -> None:
    maker = TokenMaker("mes", timedelta(minutes=10))
    maker.use(rotated(new_keyring(NOW)))
    assert not [key for key in maker.public().keys if "d" in key]


def test_the_schedule_counts_from_when_the_key_began_to_sign() -> None:
    keyring = new_keyring(NOW)
    assert domain.is_due(keyring, timedelta(days=1), LATER)
    assert not domain.is_due(rotated(keyring), timedelta(days=1), LATER)
    assert not domain.is_due(keyring, None, LATER)
