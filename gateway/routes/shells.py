"""What browsers load without signing in: discovery with its stream, and the assets of versions."""

from __future__ import annotations

import asyncio
import mimetypes
import re
from collections import OrderedDict
from collections.abc import AsyncIterator

import orjson
from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from gateway.discovery import document
from gateway.door import Door, InPublicOrg, Public
from gateway.portal import Portal
from gateway.routes.happened import BOOKMARK_S, STREAM_HEADERS
from libs.contracts.deploy import Discovery, GetDiscovery
from libs.contracts.registry import FileRecord, GetFiles, VersionFiles
from libs.errors import BadRequest, NotFound
from libs.live.answers import Answer
from libs.live.subscriber import Subscriber
from libs.objects import BLOBS, ENCODINGS

router = APIRouter(tags=["shells"])

FOREVER = "public, max-age=31536000, immutable"
# Pages of tenants come from the portal's own address. Without an origin of its own such a page could read
# what the portal keeps in the browser; with it, it can load its parts and nothing else.
SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-downloads"
KINDS = {
    ".mjs": "text/javascript",
    ".js": "text/javascript",
    ".map": "application/json",
    ".wasm": "application/wasm",
}
MAX_TABLES = 2_000


class FileNotFound(NotFound):
    """The version has no file of that path."""


class RangeNotSatisfiable(BadRequest):
    """The file ends before that range begins."""

    status = 416


class _Tables:
    """Path tables of versions by the answer they came from: versions never change."""

    def __init__(self) -> None:
        self._tables: OrderedDict[str, dict[str, FileRecord]] = OrderedDict()

    def of(self, answer: Answer) -> dict[str, FileRecord]:
        table = self._tables.get(answer.etag)
        if table is None:
            table = {file.path: file for file in VersionFiles.model_validate_json(answer.body).files}
            self._tables[answer.etag] = table
            if len(self._tables) > MAX_TABLES:
                self._tables.popitem(last=False)
        return table


_tables = _Tables()


@router.get("/", include_in_schema=False)
async def home(door: Public) -> Response:
    """The shell that this installation shows first, if it is there; otherwise the reference."""
    org, env, app = door.portal.settings.home
    org_id = door.portal.directory.org_id(org)
    if org_id:
        answer = await door.portal.engine.read(GetDiscovery(org=org_id, environment=env))
        placed = {} if answer.problem else dict(Discovery.model_validate_json(answer.body).placed)
        if app in placed:
            page = f"/assets/{org}/{app}/{placed[app].version}/index.html?org={org}&env={env}"
            return RedirectResponse(page, 307)
    return RedirectResponse("/docs", 307)


@router.get("/discovery/{org}/{env}")
async def discover(org: str, env: str, request: Request, door: InPublicOrg) -> Response:
    answer = await door.answer(GetDiscovery(org=door.org, environment=env), door.after())
    body = _document(answer.body, org, _base(request, door.portal))
    etag = f'"{answer.etag}"'
    headers = {"etag": etag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


@router.get("/discovery/{org}/{env}/events", response_class=StreamingResponse)
async def discovery_events(org: str, env: str, request: Request, door: InPublicOrg) -> StreamingResponse:
    """The whole document at once and whenever it changes."""
    query = GetDiscovery(org=door.org, environment=env)
    await door.answer(query)
    return StreamingResponse(
        _discoveries(door, query, org, _base(request, door.portal)),
        media_type="text/event-stream",
        headers=STREAM_HEADERS,
    )


async def _discoveries(door: Door, query: GetDiscovery, org: str, base: str) -> AsyncIterator[bytes]:
    # Not before the stream runs: a client that has left by then would never be left by us.
    subscriber = Subscriber()
    door.portal.engine.subscribe(subscriber, "discovery", query)
    try:
        yield b"retry: 1000\n\n"
        while not door.portal.stopping.is_set():
            try:
                async with asyncio.timeout(BOOKMARK_S):
                    transition = await subscriber.next()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            for _, pushed in transition.items:
                if not pushed.is_error:
                    body = _document(pushed.body, org, base).decode()
                    yield f"id: {transition.after}\ndata: {body}\n\n".encode()
    finally:
        door.portal.engine.leave(subscriber)


@router.head("/assets/{org}/{app}/{version}/{path:path}", include_in_schema=False)
@router.get("/assets/{org}/{app}/{version}/{path:path}", response_class=Response)
async def asset(app: str, version: str, path: str, request: Request, door: InPublicOrg) -> Response:
    answer = await door.answer(GetFiles(org=door.org, app=app, version=version))
    record = _tables.of(answer).get(path)
    if record is None:
        raise FileNotFound(path[:200])
    etag = f'"{record.digest[:32]}"'
    headers = {
        "cache-control": FOREVER,
        "etag": etag,
        "vary": "accept-encoding",
        "accept-ranges": "bytes",
        "cross-origin-resource-policy": "cross-origin",
        "content-security-policy": SANDBOX,
    }
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    suffix = path[path.rfind(".") :]
    kind = KINDS.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    wanted = request.headers.get("range")
    if wanted is None:
        for encoding in _encodings(request):
            smaller = await door.portal.objects.get(BLOBS, record.digest, encoding)
            if smaller is not None:
                return Response(smaller, headers=headers | {"content-encoding": encoding}, media_type=kind)
    content = await door.portal.objects.get(BLOBS, record.digest)
    if content is None:
        raise FileNotFound(path[:200])
    if wanted is not None and (span := _range(wanted, len(content))):
        start, end = span
        headers["content-range"] = f"bytes {start}-{end}/{len(content)}"
        return Response(content[start : end + 1], 206, headers, kind)
    return Response(content, headers=headers, media_type=kind)


def _encodings(request: Request) -> list[str]:
    """What the client takes, best first."""
    accepted = request.headers.get("accept-encoding", "")
    offers = {
        part.split(";")[0].strip() for part in accepted.split(",") if "q=0" not in part.replace(" ", "")
    }
    return [encoding for encoding in ENCODINGS if encoding in offers]


def _range(header: str, size: int) -> tuple[int, int] | None:
    """One range of bytes, both ends included. Several at once get the whole file, as the standard allows."""
    unit, _, spec = header.partition("=")
    first, dash, last = spec.strip().partition("-")
    if unit.strip() != "bytes" or not dash or "," in spec or not (first or last):
        return None
    if not all(re.fullmatch("[0-9]{0,18}", end) for end in (first, last)):
        return None
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start >= size or start > end:
        raise RangeNotSatisfiable(f"the file has {size} bytes")
    return start, end


def _document(body: bytes, org: str, base: str) -> bytes:
    return orjson.dumps(document(Discovery.model_validate_json(body), org, base))


def _base(request: Request, portal: Portal) -> str:
    return (portal.settings.public_url or str(request.base_url)).rstrip("/")
