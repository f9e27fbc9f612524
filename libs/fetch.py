"""Fetching a small JSON document from an address that a tenant chose, without becoming their way into our
network.

The name is resolved here, every address that it leads to is looked at, and the connection goes to one of
those very addresses: a name that leads elsewhere a moment later (DNS rebinding) changes nothing. No
redirects, no proxies, a bounded size, a bounded time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

MAX_BYTES = 512 * 1024
TIMEOUT_S = 5.0


class FetchFailed(Exception):
    """The document could not be had, or may not be asked for; the text says why."""


class Fetcher:
    """`loopback` allows addresses of this very machine, and http to them: for development and tests."""

    def __init__(self, loopback: bool = False) -> None:
        self._loopback = loopback

    async def json(self, url: str) -> Any:
        """Raises FetchFailed."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            address = await self._address(host, port)
        except ValueError:
            raise FetchFailed("no address") from None
        is_local = ipaddress.ip_address(address).is_loopback
        if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
            raise FetchFailed("https is needed")
        if parts.username or parts.password:
            raise FetchFailed("no credentials in an address")
        literal = f"[{address}]" if ":" in address else address
        target = parts._replace(netloc=f"{literal}:{port}", fragment="").geturl()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._get(target, host, parts.netloc)
        except (httpx.HTTPError, TimeoutError, orjson.JSONDecodeError) as error:
            raise FetchFailed(f"{type(error).__name__} from {host}") from error

    async def _get(self, target: str, host: str, netloc: str) -> Any:
        """The certificate has to be the name's, though the connection goes to its address."""
        async with (
            httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=TIMEOUT_S) as client,
            client.stream(
                "GET",
                target,
                headers={"host": netloc, "accept": "application/json"},
                extensions={"sni_hostname": host},
            ) as response,
        ):
            if response.status_code != 200:
                raise FetchFailed(f"{host} answered {response.status_code}")
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_BYTES:
                    raise FetchFailed(f"more than {MAX_BYTES} bytes from {host}")
        return orjson.loads(body)

    async def _address(self, host: str, port: int) -> str:
        if not host:
            raise FetchFailed("no host")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise FetchFailed(f"{host} is not known") from error
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            # One internal address among several is enough to refuse: which of them is used is chance.
            if not self._may_reach(address):
                raise FetchFailed(f"{host} leads to an internal address")
        return addresses[0]

    def _may_reach(self, address: str) -> bool:
        ip = ipaddress.ip_address(address.split("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None)
        ip = mapped or ip
        return (ip.is_global and not ip.is_multicast) or (self._loopback and ip.is_loopback)
