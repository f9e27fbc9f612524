"""Counting wrong guesses."""

from __future__ import annotations

import pytest

from gateway.guesses import MAX_GUESSERS, Guesses
from libs.oauth import TooManyGuesses


def test_who_guessed_wrong_too_often_waits_and_others_do_not() -> None:
    guesses = Guesses(allowed=3)
    for _ in range(3):
        guesses.admit("192.0.2.1", "a")
        guesses.wrong("192.0.2.1", "a")
    with pytest.raises(TooManyGuesses):
        guesses.admit("192.0.2.1", "a")
    guesses.admit("192.0.2.2", "a")
    guesses.admit("192.0.2.1", "b")


def test_a_guess_is_forgotten_after_its_window() -> None:
    guesses = Guesses(allowed=1, window_s=0.0)
    guesses.wrong("192.0.2.1", "a")
    guesses.admit("192.0.2.1", "a")


def test_guessers_do_not_fill_the_memory() -> None:
    guesses = Guesses()
    for number in range(MAX_GUESSERS + 10):
        guesses.wrong(str(number), "a")
    assert len(guesses._wrong) == MAX_GUESSERS
