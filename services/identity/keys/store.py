"""Every query on the keyring."""

from __future__ import annotations

from collections.abc import Sequence

from libs.contracts.base import Event
from libs.permissions import PLATFORM
from libs.store.commit import Author, Commit
from libs.store.database import Database, Documents, Scope
from libs.store.journal import Journal
from services.identity.keys.domain import Keyring

KEYRINGS = Documents("keyrings", Keyring, key=lambda keyring: keyring.id)


async def keyring(database: Database) -> Keyring | None:
    return await database.tenant(PLATFORM).get(KEYRINGS, "keyring")


async def read(scope: Scope) -> Keyring:
    found = await scope.of(PLATFORM).get(KEYRINGS, "keyring")
    assert found is not None, "made at the start"
    return found


async def keep(journal: Journal, keyring: Keyring, events: Sequence[Event] = ()) -> None:
    """Raises StateChanged if another replica was first."""
    author = Author("service:identity", "identity")
    await journal.commit(Commit(org=PLATFORM, changes=[KEYRINGS.put(keyring)], events=events, author=author))
