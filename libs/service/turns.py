"""Taking turns where commands contend: optimistic while nobody is in the way, then one after another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    """Locks by name that exist only while somebody holds or awaits them. Within one process: between
    replicas the revision check decides."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def behind(self, name: str, contended: bool) -> AsyncIterator[None]:
        """Waits behind others on this name if there are any, or if `contended` says that there were."""
        lock = self._locks.get(name)
        if lock is None and not contended:
            yield
            return
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        async with lock:
            yield
