"""What every route of the gateway works with: the engine, the replica of rights, tokens, objects."""

from __future__ import annotations

import asyncio
import logging
import uuid

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from gateway.access import Changed
from gateway.api_keys import ApiKeys
from gateway.directory import Directory
from gateway.feeds import Feeds
from gateway.foreign.verifier import ForeignVerifier
from gateway.guesses import Guesses
from gateway.hot import HotReads
from gateway.refusals import Refusals
from gateway.settings import GatewaySettings
from gateway.sockets import Sockets
from gateway.tokens import Verifier
from libs.bus import topology
from libs.bus.link import Link
from libs.bus.rpc import Asker
from libs.contracts.envelope import Fact, Position
from libs.contracts.identity import SigningKeysChanged
from libs.errors import Refusal
from libs.fetch import Fetcher
from libs.jwks import KeySets
from libs.live.engine import Engine
from libs.objects import Objects
from libs.telemetry import SpanKind, span

logger = logging.getLogger(__name__)
PREFETCH = 500
# After a lost connection, for all that identity did meanwhile.
CATCH_UP_S = 30.0
KEYS_AGAIN_S = 1.0


class Portal:
    """Built once by `gateway.main`; `start` connects, `stop` closes in order."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.process = settings.process or "gateway"
        self.asker = Asker(settings.amqp_url, self.process)
        self.directory = Directory()
        self.feeds = Feeds(self.asker)
        self.engine = Engine(self.asker, self._on_fact, frozenset({"identity"}))
        self.api_keys = ApiKeys(self.asker, self.directory)
        keys = KeySets(Fetcher(loopback=settings.allow_loopback_issuers))
        self._foreign = ForeignVerifier(self.asker, self.directory, keys, self.engine.reach)
        self.verifier = self._a_verifier()
        self.objects = Objects.at(settings.objects_url)
        self.hot = HotReads(self.engine, self.directory)
        self.refusals = Refusals(self.asker)
        self.guesses = Guesses()
        self.sockets = Sockets(self.engine, self.directory)
        self.directory.on_change = self._rights_changed
        self.stopping = asyncio.Event()
        self._instance = uuid.uuid4().hex[:12]
        self._link = Link(settings.amqp_url, f"{self.process} listens", self._listen)
        self._loaded = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._taking_keys: asyncio.Task[None] | None = None
        self._senders_are_services = settings.broker_user == "gateway"

    @property
    def ready(self) -> bool:
        return self._loaded.is_set() and not self.stopping.is_set()

    @property
    def connected(self) -> bool:
        return self._link.is_open and self.asker.is_open

    async def start(self) -> None:
        await self.asker.start()
        await self._link.start()
        self._telling = asyncio.create_task(self.api_keys.tell(), name="uses of keys")

    async def stop(self) -> None:
        self.stopping.set()
        if self._taking_keys:
            self._taking_keys.cancel()
        if self._telling:
            self._telling.cancel()
            await self.api_keys.tell_now()
        await self.sockets.close_all()
        await self._link.stop()
        await self.asker.stop()

    def _rights_changed(self, changed: Changed) -> None:
        self.sockets.rights_changed(changed)
        self.feeds.recheck()

    def _on_fact(self, fact: Fact) -> None:
        self.directory.apply(fact)
        self.feeds.apply(fact)
        if fact.type == SigningKeysChanged.message:
            self._taking_keys = asyncio.create_task(self._take_keys(), name="signing keys")

    def _a_verifier(self) -> Verifier:
        settings = self.settings
        return Verifier(self.asker, self.api_keys, self._foreign, settings.issuer, settings.audience)

    async def _take_keys(self) -> None:
        """A new verifier, which knows the keys of now and remembers no token. Until it does, the former one
        goes on: the key that signs now was published before."""
        fresh = self._a_verifier()
        while not self.stopping.is_set():
            try:
                await fresh.key_set()
            except Refusal as refusal:
                logger.warning("the signing keys were not read: %r", refusal)
                await asyncio.sleep(KEYS_AGAIN_S)
                continue
            self.verifier = fresh
            return

    async def _listen(self, connection: AbstractConnection) -> None:
        """A queue of this instance's own. Bound first, then the state is read, then events are taken: nothing
        can fall between. After a lost connection the same order closes the gap."""
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.declare_queue(
            f"gateway.events.{self._instance}.{uuid.uuid4().hex[:6]}", exclusive=True, auto_delete=True
        )
        events = await channel.get_exchange(topology.EVENTS, ensure=False)
        await queue.bind(events, routing_key="#")
        await self.asker.opened(10)
        if self._loaded.is_set():
            await queue.consume(self._receive)
            await self._catch_up()
        else:
            for stream, sequence in (await self.directory.load(self.asker)).items():
                self.engine.start_at(stream, sequence)
            await self.verifier.key_set()
            await queue.consume(self._receive)
            self._loaded.set()
            logger.info("%s has its directory", self.process)

    async def _catch_up(self) -> None:
        """What was missed: whatever was read is read again when asked for, and identity's streams are
        followed to their heads, also those of organizations that were made meanwhile."""
        await self.engine.resync(self.engine.followed())
        self.feeds.doubt()
        heads = await self.directory.heads(self.asker)
        await self.engine.reach((Position(*stream, head) for stream, head in heads.items()), CATCH_UP_S)

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        try:
            fact = Fact.decode(message.body)
        except ValueError as error:
            # Nothing to park here: every gateway gets its own copy, and the audit service parks its own.
            logger.warning("dropped a message that is no event: %s", error)
            await message.ack()
            return
        if self._senders_are_services and message.user_id != fact.service:
            logger.warning("dropped an event of %s that was sent by %s", fact.service, message.user_id)
            await message.ack()
            return
        with span(
            "process gateway.events",
            SpanKind.CONSUMER,
            {
                "messaging.system": "rabbitmq",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": f"{topology.EVENTS}:gateway.events",
                "messaging.message.id": fact.id,
            },
            parent=str(message.headers.get(topology.TRACEPARENT) or "") or None,
        ):
            try:
                await self.engine.receive(fact)
            except Exception as error:
                # The next event of the stream finds the gap and fills it.
                logger.warning("%s was not applied: %r", fact.id, error)
        await message.ack()
