"""The bus edge of sessions: load, decide, save.

Answers hold tokens, which are recorded nowhere. So a repeated request proves itself again, and only then
is told the tokens of the session that the first one opened or refreshed.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from libs.contracts.base import Event, Page
from libs.contracts.identity import (
    EndOtherSessions,
    EndSession,
    ListSessions,
    OpenedSession,
    OpenSession,
    Reason,
    RefreshSession,
    Tokens,
)
from libs.permissions import PLATFORM
from libs.service.request import Request
from libs.store.commit import AlreadyAnswered, RecordedReply
from libs.store.database import Change, Scope
from services.identity.keys.tokens import TokenMaker
from services.identity.members import store as members
from services.identity.oauth.clients import NO_CLIENTS, Clients
from services.identity.repeats import first_answer
from services.identity.sessions import domain, store
from services.identity.sessions.domain import RefreshReused, Session
from services.identity.sessions.proof import Proved, Prover
from services.identity.users import domain as users
from services.identity.users import store as accounts
from services.identity.users.handlers import act_as, caller_account


class Sessions:
    def __init__(
        self, prover: Prover, tokens: TokenMaker, lifetime: timedelta, clients: Clients = NO_CLIENTS
    ) -> None:
        self._prover = prover
        self._tokens = tokens
        self._clients = clients
        self._lifetime = lifetime

    async def open_session(self, command: OpenSession, request: Request) -> Tokens:
        return await self.open(await self._proved(command, request), request)

    open_session.replays_itself = True  # type: ignore[attr-defined]  # read by the edge

    async def _proved(self, command: OpenSession, request: Request) -> Proved:
        if command.code is None or not (recorded := await request.journal.recorded(request.id)):
            return await self._prover.prove(request, command.email, command.password, command.code)
        # The code has been used by this very request; the password is proved again all the same.
        first_answer(recorded, request)
        email = users.normal(command.email)
        return Proved(await self._prover.password(request, email, command.password), ("pwd",))

    async def open(self, proved: Proved, request: Request) -> Tokens:
        """Opens a session for whoever has proved to be that user."""
        session, changes, events = await self.opening(proved, request)
        tokens = self._tokens.tokens(session, proved.account, request.now)
        try:
            return await store.save_opened(request, session, changes, events, tokens)
        except AlreadyAnswered as answered:
            return await self.opened_before(answered.recorded, request)

    async def opened_before(self, recorded: RecordedReply, request: Request) -> Tokens:
        """The answer again, for who has proved itself again."""
        first = store.Issued.model_validate_json(first_answer(recorded, request))
        session = domain.in_use(await store.session(request.scope, first.session), request.now)
        account = users.known(await accounts.by_id(request.scope, session.user))
        return self._tokens.tokens(session, account, request.now)

    async def opening(
        self,
        proved: Proved,
        request: Request,
        client: domain.Client = domain.DIRECTLY,
        lifetime: timedelta | None = None,
    ) -> tuple[Session, list[Change], list[Event]]:
        """A session for whoever has proved to be that user, with all that must be saved with it. From here on
        the request is theirs."""
        account = proved.account
        joined = await members.joined_by(request.scope, account.id)
        session, events = domain.open_for(
            _new_id(),
            account.id,
            [membership.organization for membership in joined],
            request.now,
            lifetime or self._lifetime,
            _device(request),
            proved.methods,
            client,
        )
        act_as(request, account, session.id)
        changes = [store.SESSIONS.put(session, org=PLATFORM), *proved.changes]
        return session, changes, [*events, *proved.events]

    async def refresh_session(self, command: RefreshSession, request: Request) -> Tokens:
        claim = self._tokens.claim(command.refresh_token)
        if claim is None:
            raise domain.RefreshRefused("not a refresh token of ours")
        session = await store.session(request.scope, claim.session)
        if session:
            self._clients.check(session.client, command.client_id, command.client_secret)
        try:
            turned = domain.turn(session, claim.generation, request.now, self._lifetime)
            assert session is not None
            turned, events = domain.seen(session, turned, _device(request), request.now)
            account = users.known(await accounts.by_id(request.scope, turned.user))
            tokens = self._tokens.tokens(turned, account, request.now)
            return await store.save_turned(request, session, turned, events, tokens)
        except AlreadyAnswered as answered:
            return await self._refreshed_before(answered.recorded, request)
        except RefreshReused:
            recorded = await request.journal.recorded(request.id)
            if recorded:
                # Not a second holder: the first one, who repeats a request.
                return await self._refreshed_before(recorded, request)
            assert session is not None
            ended, events = domain.end(session, "refresh_reused", request.now)
            if events:
                await store.save_ended_though_refused(request, ended, events)
            raise

    refresh_session.replays_itself = True  # type: ignore[attr-defined]  # read by the edge

    async def end_session(self, command: EndSession, request: Request) -> None:
        session = domain.own(await store.session(request.scope, command.session), request.caller.subject)
        own = request.caller.session in (None, session.id)
        ended, events = domain.end(session, "signed_out" if own else "ended_elsewhere", request.now)
        await store.save_ended(request, session, ended, events)

    async def end_other_sessions(self, command: EndOtherSessions, request: Request) -> None:
        account = await caller_account(request)
        changes, events = await ending(request, account.id, "ended_elsewhere", request.caller.session)
        await request.commit(changes, events, reply=None)

    async def _refreshed_before(self, recorded: RecordedReply, request: Request) -> Tokens:
        """The answer again, unless the session has moved on: then it had arrived, and is no longer good."""
        first = store.Issued.model_validate_json(first_answer(recorded, request))
        session = domain.in_use(await store.session(request.scope, first.session), request.now)
        if session.generation != first.generation:
            raise domain.RefreshRefused("the session has been refreshed since")
        account = users.known(await accounts.by_id(request.scope, session.user))
        return self._tokens.tokens(session, account, request.now)


async def list_sessions(query: ListSessions, scope: Scope) -> Page[OpenedSession]:
    found = await store.open_of(scope, query.user, query.cursor or "", query.limit + 1)
    items = tuple(session.view(query.session) for session in found[: query.limit])
    return Page[OpenedSession](items=items, next=items[-1].id if len(found) > query.limit else None)


async def ending(
    request: Request, user: str, reason: Reason, but: str | None = None
) -> tuple[list[Change], list[Event]]:
    """What ends all sessions of a user but one."""
    changes: list[Change] = []
    events: list[Event] = []
    for session in await store.open_of(request.scope, user):
        if session.id != but:
            ended, told = domain.end(session, reason, request.now)
            changes.append(store.SESSIONS.put(ended, org=PLATFORM))
            events += told
    return changes, events


def _device(request: Request) -> domain.Device:
    return domain.Device(request.caller.address, request.caller.agent)


def _new_id() -> str:
    return f"ses_{secrets.token_hex(12)}"
