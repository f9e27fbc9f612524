"""Browsers that somebody is signed in with: an ordinary session, never renewed, known by a sealed cookie."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from libs.store.database import Scope
from services.identity.keys.tokens import TokenMaker
from services.identity.oauth.clients import BROWSER
from services.identity.oauth.codes.domain import BROWSER_LIFETIME, BrowserUnknown
from services.identity.sessions import domain as sessions
from services.identity.sessions import store as opened
from services.identity.sessions.domain import Session
from services.identity.users import store as accounts
from services.identity.users.domain import Account

PURPOSE = "browser"
LIFETIME_S = int(BROWSER_LIFETIME.total_seconds())
FOR_BROWSER = sessions.Client(BROWSER)


class Holder(NamedTuple):
    session: Session
    account: Account


class Browsers:
    def __init__(self, tokens: TokenMaker) -> None:
        self._tokens = tokens

    def cookie(self, session: str) -> str:
        return self._tokens.keyring.seal(PURPOSE, session)

    async def holder(self, scope: Scope, cookie: str | None, now: datetime) -> Holder | None:
        """Who is signed in, if the cookie is ours and its session is not over."""
        parts = self._tokens.keyring.unseal(PURPOSE, cookie) if cookie else None
        session = await opened.session(scope, parts[0]) if parts else None
        if session is None or session.client != BROWSER or session.ended_at or now >= session.expires_at:
            return None
        account = await accounts.by_id(scope, session.user)
        return Holder(session, account) if account else None

    async def must_hold(self, scope: Scope, cookie: str, now: datetime) -> Holder:
        holder = await self.holder(scope, cookie, now)
        if holder is None:
            raise BrowserUnknown("sign in first")
        return holder
