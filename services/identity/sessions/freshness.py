"""Whether somebody proved recently to be who they are: a found laptop must not add a passkey of its own."""

from __future__ import annotations

from datetime import timedelta

from libs.service.request import Request
from services.identity.sessions import domain, store


class Freshness:
    def __init__(self, window: timedelta) -> None:
        self._window = window

    async def check(self, request: Request) -> None:
        """Raises RecentSignInRequired."""
        session = None
        if request.caller.session:
            session = await store.session(request.scope, request.caller.session)
        domain.check_recent(session, request.caller.subject, request.now, self._window)
