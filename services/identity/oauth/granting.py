"""From somebody's consent to a client's session: what codes and devices have in common."""

from __future__ import annotations

from datetime import datetime

from libs.contracts.base import Event
from libs.contracts.identity import Granted
from libs.service.request import Request
from libs.store.commit import RecordedReply
from libs.store.database import Change
from services.identity.keys.tokens import TokenMaker
from services.identity.repeats import first_answer
from services.identity.sessions import domain as sessions
from services.identity.sessions import store as opened
from services.identity.sessions.domain import Session
from services.identity.sessions.handlers import Sessions
from services.identity.sessions.proof import Proved
from services.identity.users import domain as users
from services.identity.users import store as accounts
from services.identity.users.domain import Account


class Granting:
    def __init__(self, sessions: Sessions, tokens: TokenMaker) -> None:
        self._sessions = sessions
        self._tokens = tokens

    async def opening(
        self,
        request: Request,
        user: str,
        client: str,
        scope: str,
        methods: tuple[str, ...],
        authenticated_at: datetime,
    ) -> tuple[Session, Account, list[Change], list[Event]]:
        """A session for a client that somebody has let in. It proves nothing anew: what asks for a recent
        sign-in counts from theirs."""
        account = users.known(await accounts.by_id(request.scope, user))
        client_of = sessions.Client(client, scope, authenticated_at)
        # Without refresh tokens it lasts as long as its one access token.
        lifetime = None if client_of.is_renewable else self._tokens.lifetime
        session, changes, events = await self._sessions.opening(
            Proved(account, methods), request, client_of, lifetime
        )
        return session, account, changes, events

    def granted(self, session: Session, account: Account, now: datetime, nonce: str | None = None) -> Granted:
        tokens = self._tokens.tokens(session, account, now)
        return Granted(
            access_token=tokens.access_token,
            expires_in=tokens.expires_in,
            refresh_token=tokens.refresh_token if session.is_renewable else None,
            scope=session.scope or None,
            id_token=self._tokens.id_token(session, account, tokens.access_token, now, nonce),
            session=session.id,
        )

    def recorded(self, session: Session) -> opened.Issued:
        """What is recorded of an answer with tokens: enough to derive them again."""
        return opened.Issued(session=session.id, generation=session.generation)

    async def granted_before(
        self, recorded: RecordedReply, request: Request, nonce: str | None = None
    ) -> Granted:
        """The answer again, for who has proved itself again."""
        first = opened.Issued.model_validate_json(first_answer(recorded, request))
        session = sessions.in_use(await opened.session(request.scope, first.session), request.now)
        account = users.known(await accounts.by_id(request.scope, session.user))
        return self.granted(session, account, request.now, nonce)
