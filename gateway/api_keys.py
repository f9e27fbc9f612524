"""API keys of service accounts: verified from memory; when each was used is told to identity now and then."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import re
import time
import zlib
from datetime import UTC, datetime

from gateway.claims import Claims
from gateway.directory import Directory
from libs.bus.rpc import Asker
from libs.contracts.base import service_caller
from libs.contracts.identity import NoteKeysUsed, node
from libs.errors import Unauthenticated
from libs.permissions import Limit

logger = logging.getLogger(__name__)
FORM = re.compile(r"mesk_[0-9A-Za-z]{32}([0-9A-Za-z]{6})")
CHECKSUM_CHARACTERS = 6
TELL_EVERY_S = 300.0
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class KeyInvalid(Unauthenticated):
    """No such API key: misread, revoked, or expired."""


def looks_like_key(token: str) -> bool:
    return token.startswith("mesk_")


class ApiKeys:
    def __init__(self, asker: Asker, directory: Directory) -> None:
        self._asker = asker
        self._directory = directory
        # By organization, which of its keys were used since that was last told.
        self._used: dict[str, dict[str, datetime]] = {}

    def verify(self, text: str) -> Claims:
        """Raises KeyInvalid. What is misread is found by its checksum, before anybody looks for it."""
        form = FORM.fullmatch(text)
        if form is None or _checksum(text[:-CHECKSUM_CHARACTERS]) != form[1]:
            raise KeyInvalid("not a whole key")
        found = self._directory.key(hashlib.sha256(text.encode()).hexdigest())
        if found is None:
            raise KeyInvalid("no such key")
        org, name, known = found
        expires_at = known.expires_at.timestamp() if known.expires_at else math.inf
        if expires_at <= time.time():
            raise KeyInvalid("expired")
        self._used.setdefault(org, {})[known.key] = datetime.now(UTC)
        permissions = None if known.scope.permissions is None else frozenset(known.scope.permissions)
        return Claims(
            subject=known.account,
            expires_at=expires_at,
            name=name,
            needs=frozenset({known.key}),
            org=org,
            limits=(Limit(permissions, node(org, known.scope.path)),),
        )

    async def tell(self) -> None:
        """Runs as long as the gateway does."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            await self.tell_now()

    async def tell_now(self) -> None:
        used, self._used = self._used, {}
        for org, keys in used.items():
            try:
                await self._asker.ask(NoteKeysUsed(org=org, used=keys), service_caller("gateway"))
            except Exception as error:
                logger.warning("the use of keys was not told: %r", error)


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), []
    for _ in range(CHECKSUM_CHARACTERS):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
