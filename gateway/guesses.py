"""Counting wrong guesses at this gateway: of client secrets and of the codes that devices show."""

from __future__ import annotations

import time
from collections import OrderedDict, deque

from libs.oauth import TooManyGuesses

ALLOWED = 10
WINDOW_S = 60.0
MAX_GUESSERS = 20_000


class Guesses:
    """By whoever guesses. What is guessed at is long; this is to make sure that nobody even tries."""

    def __init__(self, allowed: int = ALLOWED, window_s: float = WINDOW_S) -> None:
        self._allowed = allowed
        self._window_s = window_s
        self._wrong: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def admit(self, where: str, what: str) -> None:
        """Raises TooManyGuesses, right or wrong: an answer would tell which."""
        recent = self._recent((where, what))
        if recent is not None and len(recent) >= self._allowed:
            raise TooManyGuesses("too many wrong guesses; wait a minute")

    def wrong(self, where: str, what: str) -> None:
        name = (where, what)
        recent = self._recent(name)
        if recent is None:
            recent = self._wrong[name] = deque(maxlen=self._allowed)
        recent.append(time.monotonic())
        self._wrong.move_to_end(name)
        if len(self._wrong) > MAX_GUESSERS:
            self._wrong.popitem(last=False)

    def _recent(self, name: tuple[str, str]) -> deque[float] | None:
        recent = self._wrong.get(name)
        while recent and recent[0] < time.monotonic() - self._window_s:
            recent.popleft()
        if recent is not None and not recent:
            del self._wrong[name]
            return None
        return recent
