"""The outermost layer: a span and `Mes-Trace` for each request, limits, the short way of hot reads."""

from __future__ import annotations

import asyncio
import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.hot import HotRead, Key
from gateway.portal import Portal
from gateway.problems import problem_response
from libs.errors import InternalError, TooLarge, Unavailable
from libs.telemetry import SpanKind, current_trace_id, leaf, span, trace_id_of

logger = logging.getLogger(__name__)
# Requests under way in one process; more are told to come back.
MAX_IN_FLIGHT = 1_000
# Event streams held open, which anybody may open on public discovery.
MAX_STREAMS = 5_000
# What the short way remembers of a request, times its entries, is memory: longer ones take the long way.
MAX_HOT_KEY_BYTES = 4 * 1024


class BodyTooLarge(TooLarge):
    """The body is larger than this route takes."""


class Overloaded(Unavailable):
    """More requests at once than this process takes; come back in a second."""


class Edge:
    def __init__(self, app: ASGIApp, portal: Portal) -> None:
        self._app = app
        self._portal = portal
        self._in_flight = 0
        self._streams = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        method: str = scope["method"]
        parent = headers.get(b"traceparent", b"").decode("ascii", "replace") or None
        hot_key = self._hot_key(scope, method, headers)
        if hot_key:
            if hit := self._portal.hot.get(hot_key):
                await self._send_hot(scope, hit, headers, parent, send)
                return
            scope["mes.hot_key"] = hot_key
        with span(
            f"{method} {scope['path']}",
            SpanKind.SERVER,
            {"http.request.method": method, "url.path": scope["path"]},
            parent,
        ) as current:

            async def traced(message: Message) -> None:
                if message["type"] == "http.response.start":
                    # CORS said some of them already; browsers refuse an answer that says them twice.
                    own = [header for header in message["headers"] if header[0].lower() not in _COMMON]
                    message["headers"] = [*own, *_common()]
                    current.set_attribute("http.response.status_code", message["status"])
                    route = getattr(scope.get("route"), "path", None)
                    if route:
                        current.update_name(f"{method} {route}")
                        current.set_attribute("http.route", route)
                await send(message)

            await self._limited(scope, receive, traced, headers)

    async def _limited(self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes]) -> None:
        limit = self._limit(scope)
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            await problem_response(BodyTooLarge(f"{limit} bytes at most"))(scope, receive, send)
            return
        streaming = scope["path"].endswith("/events")
        if self._streams >= MAX_STREAMS if streaming else self._in_flight >= MAX_IN_FLIGHT:
            await problem_response(Overloaded("too many requests at once"))(scope, receive, send)
            return
        seen = 0
        started = False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    raise BodyTooLarge(f"{limit} bytes at most")
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        self._count(streaming, 1)
        try:
            await self._app(scope, counted, noted)
        except BodyTooLarge as refusal:
            if not started:
                await problem_response(refusal)(scope, receive, noted)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if not started:
                await problem_response(InternalError(type(error).__name__))(scope, receive, noted)
        finally:
            self._count(streaming, -1)

    def _count(self, streaming: bool, change: int) -> None:
        if streaming:
            self._streams += change
        else:
            self._in_flight += change

    def _limit(self, scope: Scope) -> int:
        settings = self._portal.settings
        upload = scope["method"] == "POST" and scope["path"].endswith("/versions")
        return settings.max_upload_bytes if upload else settings.max_body_bytes

    def _hot_key(self, scope: Scope, method: str, headers: dict[bytes, bytes]) -> Key | None:
        if method != "GET" or b"mes-after" in headers or b"mes-org" in headers:
            return None
        if sum(name == b"authorization" for name, _ in scope["headers"]) > 1:
            # The routes go by the first, `headers` holds the last: an answer would be kept for another.
            return None
        key = scope["path"], scope["query_string"], headers.get(b"authorization", b"")
        return key if sum(map(len, key)) <= MAX_HOT_KEY_BYTES else None

    async def _send_hot(
        self, scope: Scope, hit: HotRead, headers: dict[bytes, bytes], parent: str | None, send: Send
    ) -> None:
        attributes = {"http.request.method": "GET", "url.path": scope["path"], "mes.cache": "hot"}
        current = leaf(f"GET {hit.route}", SpanKind.SERVER, attributes, parent)
        unchanged = headers.get(b"if-none-match") == hit.etag
        kept = (
            [header for header in hit.headers if header[0] != b"content-length"] if unchanged else hit.headers
        )
        start = {
            "type": "http.response.start",
            "status": 304 if unchanged else 200,
            "headers": [*kept, (b"mes-trace", trace_id_of(current).encode()), *_FOR_EVERYONE],
        }
        await send(start)
        await send({"type": "http.response.body", "body": b"" if unchanged else hit.answer.body})
        current.end()


_FOR_EVERYONE = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"etag, mes-trace, mes-version, retry-after"),
    (b"x-content-type-options", b"nosniff"),
]

_COMMON = {b"mes-trace"} | {name for name, _ in _FOR_EVERYONE}


def _common() -> list[tuple[bytes, bytes]]:
    return [(b"mes-trace", (current_trace_id() or "").encode()), *_FOR_EVERYONE]
