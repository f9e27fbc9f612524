"""One supervised connection to the broker: opened, watched, opened again. No messages here.

Consuming, publishing and asking each have a link of their own, so that a blocked one cannot stop the
others.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import aio_pika
from aio_pika.abc import AbstractConnection

from libs.errors import ServiceUnavailable

logger = logging.getLogger(__name__)
CONNECT_TIMEOUT_S = 5.0
LONGEST_PAUSE_S = 2.0


class BrokerUnavailable(ServiceUnavailable):
    """The broker cannot be reached; nothing was sent."""


class Link:
    """`on_open` sets up channels on each new connection; `on_lost` is told when one is gone."""

    def __init__(
        self,
        url: str,
        name: str,
        on_open: Callable[[AbstractConnection], Awaitable[None]],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = url
        self._name = name
        self._on_open = on_open
        self._on_lost = on_lost
        self._open = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    async def start(self) -> None:
        """Returns at once; `opened` waits for the connection."""
        self._task = asyncio.create_task(self._keep(), name=f"link {self._name}")

    async def opened(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._open.wait()
        except TimeoutError:
            raise BrokerUnavailable(self._name) from None

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._connection and not self._connection.is_closed:
            await self._connection.close()

    async def _keep(self) -> None:
        pause = 0.1
        while True:
            connection: AbstractConnection | None = None
            try:
                # A wrong turn of the broker may surface as CancelledError (it did, when it was frozen):
                # only a cancellation of this very task ends the loop.
                connection = await aio_pika.connect(
                    self._url, timeout=CONNECT_TIMEOUT_S, client_properties={"connection_name": self._name}
                )
                closed = asyncio.Event()
                connection.close_callbacks.add(lambda *_, closed=closed: closed.set())
                self._connection = connection
                await self._on_open(connection)
                self._open.set()
                pause = 0.1
                await closed.wait()
                logger.warning("%s: connection lost", self._name)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task and task.cancelling():
                    raise
            except Exception as error:
                logger.warning("%s: no connection: %r", self._name, error)
                if connection and not connection.is_closed:
                    await asyncio.gather(connection.close(), return_exceptions=True)
            if self._open.is_set():
                self._open.clear()
            self._on_lost()
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))
            pause = min(pause * 2, LONGEST_PAUSE_S)
