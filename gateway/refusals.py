"""Telling audit of attempts that this gateway refused, at a bounded rate for each subject."""

from __future__ import annotations

import asyncio
import logging
import time

from libs.bus.rpc import Asker
from libs.contracts.audit import RecordRefusal
from libs.contracts.base import Caller

logger = logging.getLogger(__name__)
# An attacker must not fill somebody's log: beyond this the attempts of a minute are not told one by one.
PER_MINUTE = 60
MAX_SUBJECTS = 10_000


class Refusals:
    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._counts: dict[tuple[str, str], int] = {}
        self._minute = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def record(self, caller: Caller, org: str, action: str, target: str, code: str) -> None:
        minute = int(time.monotonic() // 60)
        if minute != self._minute or len(self._counts) > MAX_SUBJECTS:
            self._minute, self._counts = minute, {}
        key = (caller.subject, org)
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] > PER_MINUTE:
            return
        task = asyncio.create_task(
            self._tell(caller, RecordRefusal(org=org, action=action, target=target, code=code))
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, caller: Caller, refusal: RecordRefusal) -> None:
        try:
            await self._asker.ask(refusal, caller)
        except Exception as error:
            logger.warning("a refusal was not recorded: %r", error)
