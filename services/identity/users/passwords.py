"""argon2id, in threads of its own: a hash takes tens of milliseconds, and the loop must not wait for it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services.identity.users.domain import spelt

Made = TypeVar("Made")


class Passwords:
    def __init__(self, memory_kib: int, passes: int, lanes: int) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        # One for each core: more would only take more memory for the same work.
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="argon2")
        # How often the expensive work was done: what an outsider could tell apart by time.
        self.hashes = 0
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        return await self._off_the_loop(self._hasher.hash, spelt(password))

    async def fits(self, password: str, password_hash: str | None) -> bool:
        """The same work whether there is such an account or not, so that time tells nothing."""
        fitting = await self._off_the_loop(self._verify, password_hash or self._nobody, spelt(password))
        return fitting and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Made under weaker parameters than those of today."""
        return self._hasher.check_needs_rehash(password_hash)

    async def _off_the_loop(self, work: Callable[..., Made], *values: str) -> Made:
        self.hashes += 1
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *values)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
