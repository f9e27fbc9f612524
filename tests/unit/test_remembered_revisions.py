"""What a process remembers of its own writes saves a transaction, and never stands in the way of one."""

from __future__ import annotations

from typing import Any, cast

import pytest

from libs.store.commit import Author, Commit
from libs.store.database import Database, Documents
from libs.store.journal import REMEMBERED_S, Journal
from services.identity.throttling.domain import Tries
from tests.domain.identity.builders import NOW

TRIES = Documents("tries", Tries, key=lambda tries: tries.id)


def a_write(revision: int) -> Commit:
    tries = Tries(id="one", count=1, last_at=NOW, expires_at=NOW, revision=revision)
    return Commit(org="_platform", changes=[TRIES.put(tries)], events=[], author=Author("service:identity"))


def test_a_document_that_was_removed_elsewhere_is_made_anew_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """By another replica, or by the database, which forgets by itself what has expired."""
    now = 1_000.0
    monkeypatch.setattr("libs.store.journal.time.monotonic", lambda: now)
    written = Journal(cast(Database, cast(Any, object())), "identity")
    written._remember([a_write(revision=7)])
    assert written._is_outdated(a_write(revision=1)), "a moment ago there was a newer one"
    now += REMEMBERED_S + 0.1
    assert not written._is_outdated(a_write(revision=1)), "by now the database has to say"
