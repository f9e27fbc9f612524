"""Every query on the keyring."""

from __future__ import annotations

from libs.permissions import PLATFORM
from libs.store.commit import Author, Commit
from libs.store.database import Database, Documents
from libs.store.journal import Journal
from services.identity.keys.domain import Keyring

KEYRINGS = Documents("keyrings", Keyring, key=lambda keyring: keyring.id)


async def keyring(database: Database) -> Keyring | None:
    return await database.tenant(PLATFORM).get(KEYRINGS, "keyring")


async def keep(journal: Journal, keyring: Keyring) -> None:
    """Raises StateChanged if another replica was first."""
    author = Author("service:identity", "identity")
    await journal.commit(Commit(org=PLATFORM, changes=[KEYRINGS.put(keyring)], events=[], author=author))
