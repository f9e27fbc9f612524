"""A service that follows others: from the bus to its feed, with retries, parking and a durable position."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from aio_pika.abc import AbstractChannel

from libs.bus import topology
from libs.bus.feed import Feed
from libs.bus.parked import copy_of, park, sender_of
from libs.bus.rpc import Asker
from libs.contracts.base import Event, Resource
from libs.contracts.envelope import Fact, Stream
from libs.errors import WriteContention
from libs.store.commit import Author, Commit, StateChanged
from libs.store.database import Change, Documents
from libs.store.journal import Journal

logger = logging.getLogger(__name__)
TRIES = 6


class Followed(Resource):
    """How far a service has applied a stream. Saved with the effect, so neither is without the other."""

    stream: str
    sequence: int


FOLLOWED = Documents("followed", Followed, key=lambda followed: followed.stream)

# What a service makes of facts of one stream: changes of its own and events about them.
React = Callable[[Stream, list[Fact]], Awaitable[tuple[Sequence[Change], Sequence[Event]]]]


class Following:
    def __init__(
        self,
        service: str,
        user: str,
        react: React,
        journal: Journal,
        asker: Asker,
        linger: timedelta = timedelta(0),
    ) -> None:
        self._service = service
        # Our name at the broker.
        self._user = user
        self._react = react
        self._journal = journal
        self.feed = Feed(self._apply, self._position, asker.events_after, linger)
        # How far each stream is, as this replica left it.
        self._known: dict[Stream, Followed] = {}
        # Set by the service when its channel for publishing copies is open.
        self.channel: AbstractChannel | None = None
        # Not where all services share one broker user, so that its name proves nothing.
        self._senders_are_services = user == service

    async def receive(self, message: Any) -> None:
        """One delivery. Returns when it may be acknowledged; raises to have it delivered again."""
        try:
            fact = Fact.decode(message.body)
            self._check_sender(fact, message)
        except ValueError as error:
            await self._park(message, str(error))
            return
        if fact.service == self._service:
            return
        try:
            await self.feed.offer(fact)
        except Exception as error:
            await self._retry_later(message, error)

    async def _apply(self, stream: Stream, facts: list[Fact]) -> None:
        for _ in range(TRIES):
            try:
                await self._apply_once(stream, facts)
                return
            except StateChanged:
                self._known.pop(stream, None)
                # A command changed the same document meanwhile: react to what is there now.
                continue
        raise WriteContention(str(stream))

    async def _apply_once(self, stream: Stream, facts: list[Fact]) -> None:
        known = self._known.get(stream)
        if known is None or known.sequence != facts[0].sequence - 1:
            known = await self._journal.database.tenant(stream.org).get(FOLLOWED, str(stream))
        changes, events = await self._react(stream, facts)
        followed = Followed(
            stream=str(stream), sequence=facts[-1].sequence, revision=(known.revision if known else 0) + 1
        )
        if (known.sequence if known else 0) != facts[0].sequence - 1:
            raise RuntimeError(f"{stream} moved on under another replica")
        last = facts[-1]
        await self._journal.commit(
            Commit(
                org=stream.org,
                changes=(*changes, FOLLOWED.put(followed)),
                events=events,
                author=Author(f"service:{self._service}", self._service, causation=last.id),
            )
        )
        self._known[stream] = followed

    async def _position(self, stream: Stream) -> int:
        known = await self._journal.database.tenant(stream.org).get(FOLLOWED, str(stream))
        return known.sequence if known else 0

    def _check_sender(self, fact: Fact, message: Any) -> None:
        """An event must come from the service that it names as its source."""
        sender = sender_of(message, self._user)
        if self._senders_are_services and sender != fact.service:
            raise ValueError(f"an event of {fact.service} was sent by {sender or 'nobody'}")

    async def _retry_later(self, message: Any, error: Exception) -> None:
        attempt = int(str(message.headers.get(topology.ATTEMPT, 0))) + 1
        if attempt > topology.MAX_ATTEMPTS:
            await self._park(message, repr(error))
            return
        delay = min(attempt - 1, len(topology.RETRY_DELAYS) - 1)
        exchange = await self._open().get_exchange(topology.RETRY, ensure=False)
        copy = copy_of(message, self._user, {**message.headers, topology.ATTEMPT: attempt})
        # Confirmed before the original is acknowledged, so the message is never nowhere.
        await exchange.publish(copy, routing_key=topology.retry_queue(self._service, delay), mandatory=True)

    async def _park(self, message: Any, reason: str) -> None:
        logger.warning("parked a message: %s", reason)
        await park(self._open(), self._service, self._user, reason, message)

    def _open(self) -> AbstractChannel:
        if self.channel is None or self.channel.is_closed:
            raise ConnectionError("no channel to publish on")
        return self.channel
