"""Wires the gateway together and serves it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
import uvloop

from gateway.app import create
from gateway.edge import Edge
from gateway.portal import Portal
from gateway.settings import GatewaySettings
from libs.telemetry import set_up, shut_down

logger = logging.getLogger(__name__)


def main() -> None:
    settings = GatewaySettings()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    set_up("gateway", settings.process or "gateway")
    uvloop.run(_serve(settings))


async def _serve(settings: GatewaySettings) -> None:
    portal = Portal(settings)
    app = Edge(create(portal), portal)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            ws="websockets-sansio",
            ws_max_size=64 * 1024,
            http="httptools",
            lifespan="off",
            timeout_graceful_shutdown=5,
            server_header=False,
            date_header=False,
        )
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    await portal.start()
    serving = asyncio.create_task(server.serve(sockets=_sockets(settings)))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    ready = asyncio.create_task(_say_ready(portal, settings))
    await asyncio.wait([asyncio.create_task(stop.wait()), serving], return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if settings.ready_file:
        settings.ready_file.unlink(missing_ok=True)
    await portal.stop()
    server.should_exit = True
    await serving
    shut_down()


class _Server(uvicorn.Server):
    """Without signal handlers of its own: the order in which things close is ours."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _sockets(settings: GatewaySettings) -> list[socket.socket]:
    """The public port, shared by all replicas, and this one's own."""
    ports = [settings.port] + ([settings.direct_port] if settings.direct_port else [])
    sockets = []
    for port in ports:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((settings.host, port))
        sockets.append(listening)
    return sockets


async def _say_ready(portal: Portal, settings: GatewaySettings) -> None:
    while not portal.ready:
        await asyncio.sleep(0.02)
    if settings.ready_file:
        settings.ready_file.parent.mkdir(parents=True, exist_ok=True)
        settings.ready_file.write_text(str(os.getpid()))
    logger.info("%s is ready on port %d", portal.process, settings.port)


if __name__ == "__main__":
    main()
