"""The bus edge of sessions: load, decide, save.

Answers hold tokens, which are recorded nowhere. So a repeated request proves itself again, and only then
is told the tokens of the session that the first one opened or refreshed.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from libs.contracts.base import Event
from libs.contracts.identity import EndSession, OpenSession, RefreshSession, Tokens
from libs.service.request import Request
from libs.store.commit import AlreadyAnswered, RecordedReply
from libs.store.database import Change
from services.identity.keys.tokens import TokenMaker
from services.identity.members import store as members
from services.identity.repeats import first_answer
from services.identity.sessions import domain, store
from services.identity.sessions.domain import RefreshReused, Session
from services.identity.sessions.proof import Proved, Prover
from services.identity.users import domain as users
from services.identity.users import store as accounts
from services.identity.users.handlers import act_as


class Sessions:
    def __init__(self, prover: Prover, tokens: TokenMaker, lifetime: timedelta) -> None:
        self._prover = prover
        self._tokens = tokens
        self._lifetime = lifetime

    async def open_session(self, command: OpenSession, request: Request) -> Tokens:
        proved = await self._prover.prove(request, command.email, command.password, command.code)
        session, changes, events = await self.opening(proved, request)
        tokens = self._tokens.tokens(session, proved.account, request.now)
        try:
            return await store.save_opened(request, session, changes, events, tokens)
        except AlreadyAnswered as answered:
            first = store.Issued.model_validate_json(first_answer(answered.recorded, request))
            session = domain.in_use(await store.session(request.scope, first.session), request.now)
            return self._tokens.tokens(session, proved.account, request.now)

    async def opening(self, proved: Proved, request: Request) -> tuple[Session, list[Change], list[Event]]:
        """A session for whoever has proved to be that user, with all that must be saved with it. From here on
        the request is theirs."""
        account = proved.account
        joined = await members.joined_by(request.scope, account.id)
        session, events = domain.open_for(
            _new_id(),
            account.id,
            [membership.organization for membership in joined],
            request.now,
            self._lifetime,
            domain.Device(request.caller.address, request.caller.agent),
            proved.methods,
        )
        act_as(request, account, session.id)
        return session, [store.SESSIONS.put(session), *proved.changes], events

    open_session.replays_itself = True  # type: ignore[attr-defined]  # read by the edge

    async def refresh_session(self, command: RefreshSession, request: Request) -> Tokens:
        claim = self._tokens.claim(command.refresh_token)
        if claim is None:
            raise domain.RefreshRefused("not a refresh token of ours")
        session = await store.session(request.scope, claim.session)
        try:
            turned = domain.turn(session, claim.generation, request.now, self._lifetime)
            assert session is not None
            account = users.known(await accounts.by_id(request.scope, turned.user))
            tokens = self._tokens.tokens(turned, account, request.now)
            return await store.save_turned(request, session, turned, tokens)
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
        ended, events = domain.end(session, "signed_out", request.now)
        await store.save_ended(request, session, ended, events)

    async def _refreshed_before(self, recorded: RecordedReply, request: Request) -> Tokens:
        """The answer again, unless the session has moved on: then it had arrived, and is no longer good."""
        first = store.Issued.model_validate_json(first_answer(recorded, request))
        session = domain.in_use(await store.session(request.scope, first.session), request.now)
        if session.generation != first.generation:
            raise domain.RefreshRefused("the session has been refreshed since")
        account = users.known(await accounts.by_id(request.scope, session.user))
        return self._tokens.tokens(session, account, request.now)


def _new_id() -> str:
    return f"ses_{secrets.token_hex(12)}"
