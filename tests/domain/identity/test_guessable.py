"""What a password is made of, as somebody who guesses would put it together."""

import pytest

from services.identity.users.guessable import FEWEST_PIECES, pieces

KNOWN = ("ada.lovelace@example.com", "Ada Lovelace")


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "P@ssw0rd12345678",
        "Password2024!!!!",
        "qwertyuiopasdfghjkl",
        "1q2w3e4r5t6y7u8i",
        "aaaaaaaaaaaaaaaaaaaa",
        "Summer2025Winter2026",
        "iloveyouiloveyou",
        "administrator123",
        "mes portal admin 2026",
        "ada.lovelace@example.com",
        "Lovelace-Ada-1815",
        "dragon77",
        "ｐａｓｓｗｏｒｄ２０２６",  # wide signs are the same signs
    ],
)
def test_words_years_walks_and_repetitions_are_few_pieces(password: str) -> None:
    assert pieces(password, KNOWN) < FEWEST_PIECES


@pytest.mark.parametrize(
    "password",
    ["correct horse battery staple", "xk3jq9vw", "Der Hund schläft im Garten", "一二三四五六七八九十千万"],
)
def test_what_nobody_would_put_together_is_many(password: str) -> None:
    assert pieces(password, KNOWN) >= FEWEST_PIECES


def test_a_password_is_weak_for_the_person_who_is_in_it() -> None:
    password = "grace hopper 1906"
    assert pieces(password) >= FEWEST_PIECES
    assert pieces(password, ("grace@example.com", "Grace Hopper")) < FEWEST_PIECES
