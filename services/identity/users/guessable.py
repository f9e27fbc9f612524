"""How many guesses a password is made of: words, years, walks over keys and repetitions count as one each.

A list of finished passwords would be long and still lack next year's. No input or output, but for the list of
words, which is read once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

# Fewer pieces than this are found by trying.
FEWEST_PIECES = 6
LONGEST_WORD = 32
_ROWS = (
    "1234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_SIGNS = str.maketrans("013457@$!€", "oieastasie")
_OTHER_SIGNS = str.maketrans("1!|", "lll")
_YEAR = re.compile(r"(?:19|20)\d\d")
_SEPARATORS = frozenset(" \t-_.,;:+/\\#*'\"@&")


def _steps() -> frozenset[tuple[str, str]]:
    """Neighbours on a keyboard, in the alphabet and among numbers, both ways."""
    lines = (*_ROWS, _ALPHABET, "0123456789")
    forward = {pair for line in lines for pair in pairwise(line)}
    return frozenset(forward | {(second, first) for first, second in forward})


def _words() -> frozenset[str]:
    lines = (Path(__file__).parent / "guessable.txt").read_text().splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


_STEPS = _steps()
WORDS = _words()


def pieces(password: str, context: Iterable[str] = ()) -> int:
    """The fewest pieces that somebody who guesses needs; what is between words counts for nothing.

    `context` is what is known of the person, and so tried first.
    """
    text = unicodedata.normalize("NFKC", password).casefold()
    if unit := _unit(text):
        # How often is one more thing to guess.
        return pieces(unit, context) + 1
    known = WORDS | {word for one in context for word in _parts(one.casefold())}
    spellings = {text, text.translate(_SIGNS), text.translate(_OTHER_SIGNS).translate(_SIGNS)}
    fewest = [0] + [len(text)] * len(text)
    for start in range(len(text)):
        cost = fewest[start] + (text[start] not in _SEPARATORS)
        fewest[start + 1] = min(fewest[start + 1], cost)
        for end in _ends(text, spellings, known, start):
            fewest[end] = min(fewest[end], fewest[start] + 1)
    return fewest[-1]


def _ends(text: str, spellings: set[str], known: frozenset[str], start: int) -> Iterator[int]:
    """Where a piece that starts here may end."""
    for end in range(start + 2, min(len(text), start + LONGEST_WORD) + 1):
        if any(spelt[start:end] in known for spelt in spellings):
            yield end
    if _YEAR.match(text, start):
        yield start + 4
    end = start + 1
    while end < len(text) and text[end] == text[start]:
        end += 1
    if end - start > 1:
        yield end
    end = start + 1
    while end < len(text) and (text[end - 1], text[end]) in _STEPS:
        end += 1
    # Two that lie side by side are chance.
    if end - start > 2:
        yield from range(start + 3, end + 1)


def _unit(text: str) -> str | None:
    """What the text does nothing but repeat, if it does."""
    for length in range(1, len(text) // 2 + 1):
        if (text[:length] * (len(text) // length + 1))[: len(text)] == text:
            return text[:length]
    return None


def _parts(known: str) -> Iterator[str]:
    """Something known of a person, whole and in its parts."""
    whole = known.strip()
    if len(whole) > 2:
        yield whole[:LONGEST_WORD]
    yield from (part for part in re.split(r"[\W_]+", whole) if len(part) > 2)
