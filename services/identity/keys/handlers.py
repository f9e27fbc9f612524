"""The bus edge of keys, and how they come to be."""

from __future__ import annotations

from datetime import UTC, datetime

from libs.contracts.identity import GetKeys, KeySet
from libs.store.commit import StateChanged
from libs.store.database import Scope
from libs.store.journal import Journal
from services.identity.keys import store
from services.identity.keys.domain import Keyring
from services.identity.keys.tokens import TokenMaker, new_keyring


class Keys:
    def __init__(self, tokens: TokenMaker) -> None:
        self._tokens = tokens

    async def get_keys(self, query: GetKeys, scope: Scope) -> KeySet:
        return self._tokens.public()


async def the_keyring(journal: Journal) -> Keyring:
    """The one keyring. Of several replicas that start at once, the first insert wins."""
    while True:
        found = await store.keyring(journal.database)
        if found:
            return found
        try:
            await store.keep(journal, new_keyring(datetime.now(UTC)))
        except StateChanged:
            continue
