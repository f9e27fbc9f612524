"""What a route does with a request: who asks, one command or query, the answer's headers."""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from gateway.claims import Claims, caller_of
from gateway.hot import HotRead
from gateway.portal import Portal
from gateway.queries import permitted
from gateway.tokens import SessionOver, TokenMissing
from libs.bus.rpc import Answered
from libs.contracts.base import Caller, Command, Query, Resource
from libs.contracts.envelope import Position
from libs.errors import (
    Forbidden,
    Invalid,
    NotFound,
    OrganizationNotFound,
    PermissionMissing,
    PreconditionFailed,
    Refused,
)
from libs.live.answers import Answer
from libs.live.versions import from_text, to_text
from libs.permissions import PLATFORM, allows

MAX_KEY_CHARS = 200
JSON = "application/json"
ORGANIZATION = "mes-org"
_NOT_FOUND = OrganizationNotFound.code
_REVISION = re.compile(r'"r([0-9]{1,15})"')


class IdempotencyKeyInvalid(Invalid):
    """The key is empty, too long, or holds other than printable ASCII."""


class MalformedIfMatch(PreconditionFailed):
    """If-Match names no revision that this resource can have."""


class Door:
    """One request at the gateway. `org` is set where the path names an organization."""

    def __init__(self, request: Request, portal: Portal, claims: Claims | None, org: str | None) -> None:
        self.request = request
        self.portal = portal
        self.claims = claims
        self._org = org

    @property
    def user(self) -> str:
        assert self.claims is not None
        return self.claims.subject

    @property
    def org(self) -> str:
        assert self._org is not None
        return self._org

    def caller(self, org: str) -> Caller:
        """The caller with the grants that concern one organization."""
        grants = self.portal.directory.grants(self.claims, org)
        return caller_of(self.claims, self.request, grants)

    async def command(
        self,
        command: Command[Any],
        status: int = 200,
        view: Callable[[Any], tuple[int, Any]] | None = None,
        proves_itself: bool = False,
    ) -> Response:
        """Sends a command and answers with its reply. `view` may choose another status and body. One that
        `proves_itself` holds its own proof, as a secret or a token, for identity to judge."""
        key = self.request.headers.get("idempotency-key")
        answered = await self._ask(command, key, proves_itself)
        body = answered.value
        if view:
            status, body = view(body)
        headers = {"mes-version": to_text(answered.reached)}
        if isinstance(body, Resource):
            headers["etag"] = f'"r{body.revision}"'
        if body is None:
            return Response(status_code=204, headers=headers)
        content = body.model_dump_json().encode() if isinstance(body, BaseModel) else orjson.dumps(body)
        return Response(content, status, headers, JSON)

    async def carry_out(self, command: Command[Any], proves_itself: bool = False) -> Any:
        """The reply itself, for a route that answers in a form of its own."""
        return (await self._ask(command, None, proves_itself)).value

    async def _ask(self, command: Command[Any], key: str | None, proves_itself: bool) -> Answered[Any]:
        caller = self.caller(command.tenant())
        if not proves_itself:
            self._permit(command, caller)
        answered = await self.portal.asker.ask(
            command, caller, self._request_id(command, key), repeatable=key is not None
        )
        self.portal.engine.promise(answered.reached)
        if command.owner == "identity":
            # Rights are decided from memory: the next request of this client must find them.
            await self.portal.engine.reach(answered.reached)
        return answered

    async def query(self, query: Query[Any]) -> Response:
        """Answers a named query from the cache, or from its service if the cache cannot vouch for it."""
        try:
            query = permitted(query, self.claims, self.portal.directory)
        except (Forbidden, NotFound) as refusal:
            self._note(query.message, query.tenant(), query.resource(), refusal.code)
            raise
        after = self.after()
        answer = await self.answer(query, after)
        etag = _etag(answer)
        headers = {"etag": etag, "cache-control": "private, no-cache", "vary": "authorization"}
        headers["mes-version"] = to_text([Position(*answer.stream, self.portal.engine.holds_at(answer))])
        self._remember(answer, etag)
        if self.request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(answer.body, 200, headers, JSON)

    async def answer(self, query: Query[Any], after: tuple[Position, ...] = ()) -> Answer:
        answer = await self.portal.engine.read(query, after)
        if answer.problem:
            raise Refused(answer.problem)
        return answer

    def after(self) -> tuple[Position, ...]:
        """What the client has seen and must not be shown less than."""
        return from_text(self.request.headers.get("mes-after", ""))

    def if_revision(self) -> int | None:
        header = self.request.headers.get("if-match")
        if header is None or header == "*":
            return None
        revision = _REVISION.fullmatch(header.strip())
        if revision is None:
            raise MalformedIfMatch(header[:80])
        return int(revision[1])

    def operator(self, permission: str) -> None:
        grants = self.portal.directory.grants(self.claims, PLATFORM)
        if not allows(grants, permission, PLATFORM):
            self._note(self._route(), PLATFORM, PLATFORM, PermissionMissing.code)
            raise PermissionMissing(permission)

    def admit(self) -> None:
        """Refuses whoever is no member, before anything else of the request is looked at: to them no answer
        may differ from that for an organization that does not exist."""
        if self.caller(self.org).grants:
            return
        app = self.request.path_params.get("app")
        self._note(self._route(), self.org, f"{self.org}/{app[:40]}" if app else self.org, _NOT_FOUND)
        raise OrganizationNotFound(self.request.path_params["org"])

    def permit(self, command: Command[Any]) -> None:
        """For a route that does work before it sends its command."""
        self._permit(command, self.caller(command.tenant()))

    def permit_reading(self, query: Query[Any]) -> None:
        """For a route that asks a service by itself."""
        try:
            permitted(query, self.claims, self.portal.directory)
        except (Forbidden, NotFound) as refusal:
            self._note(query.message, query.tenant(), query.resource(), refusal.code)
            raise

    def _permit(self, command: Command[Any], caller: Caller) -> None:
        """Refuses here what the service would refuse, and tells audit. The service checks again."""
        org = command.tenant()
        if org == PLATFORM:
            return
        if not caller.grants:
            self._note(command.message, org, command.resource(), _NOT_FOUND)
            raise OrganizationNotFound(self.portal.directory.slug(org) or "")
        if command.permission and not allows(caller.grants, command.permission, command.resource()):
            self._note(command.message, org, command.resource(), PermissionMissing.code)
            raise PermissionMissing(f"{command.permission} on {command.resource()}")

    def _route(self) -> str:
        """The attempt as audit names it where no command or query was made of it."""
        route = getattr(self.request.scope.get("route"), "path", self.request.url.path[:200])
        return f"{self.request.method} {route}"

    def _note(self, action: str, org: str, target: str, code: str) -> None:
        if self.claims:
            self.portal.refusals.record(self.caller(org), org, action, target, code)

    def _request_id(self, command: Command[Any], key: str | None) -> str:
        """A client's key counts for that client alone, and in one organization."""
        if key is None:
            return uuid.uuid4().hex
        if not key or len(key) > MAX_KEY_CHARS or not (key.isascii() and key.isprintable()):
            raise IdempotencyKeyInvalid("1 to 200 printable characters")
        who = self.claims.subject if self.claims else "anonymous"
        whole = f"{who}\0{command.tenant()}\0{key}".encode()
        return "key_" + hashlib.sha256(whole).hexdigest()

    def _remember(self, answer: Answer, etag: str) -> None:
        """The next identical request may take the short way."""
        scope = self.request.scope
        key = scope.get("mes.hot_key")
        if key is None or (self.claims and not self.claims.told_of_its_end):
            return
        route = str(getattr(scope.get("route"), "path", scope["path"]))
        self.portal.hot.put(
            key,
            HotRead(
                answer=answer,
                etag=etag.encode(),
                answer_etag=answer.etag,
                headers=[
                    (b"content-type", JSON.encode()),
                    (b"content-length", str(len(answer.body)).encode()),
                    (b"etag", etag.encode()),
                    (b"cache-control", b"private, no-cache"),
                    (b"vary", b"authorization"),
                ],
                epoch=self.portal.hot.epoch,
                expires_at=self.claims.expires_at if self.claims else time.time() + 60,
                route=route,
            ),
        )


def portal_of(request: Request) -> Portal:
    portal: Portal = request.app.state.portal
    return portal


async def claims_of(request: Request, portal: Portal, org: str | None = None) -> Claims:
    """`org` is the slug in the path, if there is one; a client may name another for a token of an issuer that
    several organizations trust."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise TokenMissing("send Authorization: Bearer …")
    named = None if org else request.headers.get(ORGANIZATION)
    return await live_claims(token.strip(), portal, org or named, asked=named is not None)


async def live_claims(token: str, portal: Portal, org: str | None = None, asked: bool = False) -> Claims:
    """`org` is a slug, that of the path or one that the client `asked` for."""
    claims = await portal.verifier.verify(token, portal.directory.org_id(org) if org else None, asked)
    if not portal.directory.stands(claims):
        raise SessionOver("sign in again")
    return claims


async def _public(request: Request) -> Door:
    return Door(request, portal_of(request), None, None)


async def _signed_in(request: Request) -> Door:
    portal = portal_of(request)
    return Door(request, portal, await claims_of(request, portal), None)


async def _in_org(request: Request, org: str) -> Door:
    """The organization of the path, as the client knows it: by its slug."""
    portal = portal_of(request)
    claims = await claims_of(request, portal, org)
    after = from_text(request.headers.get("mes-after", ""))
    if after:
        # The right to see it may be part of what the client has seen.
        await portal.engine.reach(p for p in after if p.service == "identity")
    org_id = portal.directory.org_id(org)
    if org_id is None:
        raise OrganizationNotFound(org)
    door = Door(request, portal, claims, org_id)
    door.admit()
    return door


async def _in_public_org(request: Request, org: str) -> Door:
    portal = portal_of(request)
    org_id = portal.directory.org_id(org)
    if org_id is None:
        raise OrganizationNotFound(org)
    return Door(request, portal, None, org_id)


# The four kinds of route. Which one a route takes is what the test of the route table reads.
Public = Annotated[Door, Depends(_public)]
SignedIn = Annotated[Door, Depends(_signed_in)]
InOrg = Annotated[Door, Depends(_in_org)]
InPublicOrg = Annotated[Door, Depends(_in_public_org)]


def _etag(answer: Answer) -> str:
    """A resource's ETag is its revision, which If-Match takes back; a list's is the hash of its bytes."""
    if answer.body.startswith(b'{"revision":'):
        revision = answer.body[len(b'{"revision":') :].split(b",", 1)[0].split(b"}", 1)[0]
        return f'"r{revision.decode()}"'
    return f'"{answer.etag}"'


def unstored(response: Response) -> Response:
    """Answers with tokens are kept by nobody on the way."""
    response.headers["cache-control"] = "no-store"
    return response
