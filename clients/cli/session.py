"""Stored sign-ins, one for each portal, in a file that only its owner can read. No network here."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# A token this close to its end would not survive a slow request.
MARGIN_S = 20.0


@dataclass(frozen=True)
class Session:
    """Tokens of one person. `expires_at` is that of the access token, in seconds since the epoch."""

    email: str
    access_token: str
    refresh_token: str
    expires_at: float
    # The OAuth client that the tokens were given to; empty where a password was.
    client: str = ""

    @classmethod
    def of(cls, email: str, tokens: Mapping[str, Any], client: str = "") -> Session:
        expires_at = time.time() + float(tokens["expires_in"])
        return cls(email, str(tokens["access_token"]), str(tokens["refresh_token"]), expires_at, client)

    @property
    def is_fresh(self) -> bool:
        return time.time() < self.expires_at - MARGIN_S


class Sessions:
    """The file. Tokens are kept by portal, so none is ever sent to another one."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or Path.home() / ".config" / "mes" / "session.json"

    def load(self, url: str) -> Session | None:
        stored = self._read().get(url)
        try:
            return Session(**stored) if stored else None
        except TypeError:
            return None  # written by another version

    def save(self, url: str, session: Session) -> None:
        self._write({**self._read(), url: asdict(session)})

    def forget(self, url: str) -> None:
        self._write({other: stored for other, stored in self._read().items() if other != url})

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time: a refresh token works once, and its second use ends the session."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, Any]:
        try:
            stored = json.loads(self._path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return stored if isinstance(stored, dict) else {}

    def _write(self, stored: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Written beside it and moved, so that it is never half there nor readable by others.
        fresh = self._path.with_suffix(f".{os.getpid()}")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump(stored, file, indent=1)
        fresh.replace(self._path)
