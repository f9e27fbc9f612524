"""Sends letters that wait: woken by the commit that queued one, and sweeping up what a crash left."""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import UTC, datetime

from aiosmtplib import SMTPException

from libs.contracts.base import Event
from libs.errors import Refusal
from libs.permissions import PLATFORM
from libs.store.commit import StateChanged
from libs.store.database import Change
from libs.store.journal import Journal
from services.identity.keys.tokens import TokenMaker
from services.identity.mail import domain, store
from services.identity.mail.domain import Kind, Letter
from services.identity.mail.ports import MailPort
from services.identity.users import store as accounts
from services.identity.users.domain import Account

logger = logging.getLogger(__name__)
SWEEP_S = 5.0
SENDING_S = 20.0


class Postman:
    def __init__(
        self, journal: Journal, tokens: TokenMaker, port: MailPort | None, sender: str, public_url: str
    ) -> None:
        self._journal = journal
        self._tokens = tokens
        self._port = port
        self._sender = sender
        self._public_url = public_url
        self._woken = asyncio.Event()

    def letter(self, kind: Kind, account: Account | None, now: datetime) -> tuple[list[Change], list[Event]]:
        """What queues a letter in the commit of whatever it tells of."""
        if self._port is None:
            logger.warning("no mail is set up, so nobody is told: %s", kind)
            return [], []
        letter, events = domain.write(kind, account, f"ltr_{secrets.token_hex(12)}", now)
        return [store.LETTERS.put(letter, org=PLATFORM)], events

    def wake(self) -> None:
        """Something was committed that may have queued a letter."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        while self._port:
            try:
                while await self._round(self._port):
                    pass
            except Exception as error:
                logger.warning("letters wait: %r", error)
            try:
                async with asyncio.timeout(SWEEP_S):
                    await self._woken.wait()
            except TimeoutError:
                continue
            self._woken.clear()

    async def _round(self, port: MailPort) -> int:
        """Tries every letter that is due; answers how many there were."""
        now = datetime.now(UTC)
        letters = await store.due(self._journal, now)
        for letter in letters:
            held = domain.taken(letter, now)
            try:
                await store.save(self._journal, store.LETTERS.put(held))
            except StateChanged:
                # Another replica has it.
                continue
            await self._deliver(port, held, now)
        return len(letters)

    async def _deliver(self, port: MailPort, letter: Letter, now: datetime) -> None:
        scope = self._journal.database.tenant(PLATFORM)
        account = await accounts.by_id(scope, letter.user)
        if account and not domain.is_stale(letter, account, now):
            token = None
            if letter.kind in domain.LINK_FOR:
                token = self._tokens.link_token(letter.kind, account, domain.link_until(letter))
            mail = domain.message(letter, account, self._sender, self._public_url, token)
            try:
                async with asyncio.timeout(SENDING_S):
                    await port.send(letter.id, mail)
            except (OSError, SMTPException) as error:
                logger.warning("%s could not be sent (try %d): %r", letter.id, letter.tries, error)
                later = domain.put_off(letter, datetime.now(UTC))
                await store.save(self._journal, store.LETTERS.put(later))
                return
        # A crash before this sends it again, under the same Message-ID.
        try:
            await store.save(self._journal, store.LETTERS.delete(letter))
        except (StateChanged, Refusal) as error:
            logger.warning("%s was sent and may be sent again: %r", letter.id, error)
