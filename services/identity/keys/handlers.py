"""The bus edge of keys, how they come to be, and how each replica learns that they changed."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from libs.contracts.base import Event
from libs.contracts.identity import GetKeys, KeySet, RotatedKeys, RotateKeys
from libs.service.request import Request
from libs.store.commit import StateChanged
from libs.store.database import Scope
from libs.store.journal import Journal
from services.identity.keys import domain, store
from services.identity.keys.domain import Keyring
from services.identity.keys.tokens import TokenMaker, new_key, new_keyring

logger = logging.getLogger(__name__)
# How soon a replica signs with a key that another one has taken into use.
LOOK_EVERY_S = 5.0
# Beyond a token's own life: replicas that have not looked yet, and clocks.
MARGIN = timedelta(minutes=5)


class Keys:
    def __init__(
        self, tokens: TokenMaker, every: timedelta | None, published_first: timedelta, journal: Journal
    ) -> None:
        self._tokens = tokens
        self._every = every
        self._published_first = published_first
        self._journal = journal

    async def get_keys(self, query: GetKeys, scope: Scope) -> KeySet:
        """From the database rather than from what this replica signs with: it may not have looked yet."""
        keyring = await store.read(scope)
        self._tokens.use(keyring)
        return self._tokens.public()

    async def rotate_keys(self, command: RotateKeys, request: Request) -> RotatedKeys:
        rotated, events = self._rotated(await store.read(request.scope), request.now)
        answer = await request.commit([store.KEYRINGS.put(rotated)], events, reply=rotated.answer())
        self._tokens.use(rotated)
        return answer

    async def run(self) -> None:
        """Until cancelled: takes what other replicas did, and rotates when it is time."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._look(datetime.now(UTC))
            except StateChanged:
                continue
            except Exception as error:
                logger.warning("the keyring was not looked at: %r", error)

    async def _look(self, now: datetime) -> None:
        keyring = await store.keyring(self._journal.database)
        assert keyring is not None, "made at the start"
        if domain.is_due(keyring, self._every, now):
            keyring, events = self._rotated(keyring, now)
            await store.keep(self._journal, keyring, events)
        self._tokens.use(keyring)

    def _rotated(self, keyring: Keyring, now: datetime) -> tuple[Keyring, list[Event]]:
        last = self._tokens.lifetime + MARGIN
        return domain.rotate(keyring, new_key(), now, self._published_first, last)


async def the_keyring(journal: Journal) -> Keyring:
    """The one keyring. Of several replicas that start at once, the first insert wins."""
    while True:
        found = await store.keyring(journal.database)
        if found and found.upcoming:
            return found
        now = datetime.now(UTC)
        try:
            await store.keep(
                journal, domain.with_upcoming(found, new_key(), now) if found else new_keyring(now)
            )
        except StateChanged:
            continue
