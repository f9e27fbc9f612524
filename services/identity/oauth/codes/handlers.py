"""The bus edge of authorization codes: load, decide, save."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from libs.contracts.base import Event, View
from libs.contracts.identity import (
    Asked,
    Authorize,
    Authorized,
    BrowserHolder,
    CheckAuthorization,
    CheckBrowser,
    Granted,
    RedeemCode,
    SignedInBrowser,
    SignInBrowser,
)
from libs.errors import Refusal
from libs.oauth import InvalidGrant
from libs.permissions import PLATFORM
from libs.service.request import Request
from libs.store.commit import AlreadyAnswered
from libs.store.database import Change, Scope
from services.identity.keys.tokens import TokenMaker
from services.identity.oauth import server
from services.identity.oauth.browsers import FOR_BROWSER, LIFETIME_S, Browsers
from services.identity.oauth.clients import Clients, RegisteredClient, origin_of
from services.identity.oauth.codes import domain, store
from services.identity.oauth.codes.domain import Code
from services.identity.oauth.granting import Granting
from services.identity.oauth.server import Redirected, Valid
from services.identity.sessions import domain as sessions
from services.identity.sessions import store as opened
from services.identity.sessions.domain import Session
from services.identity.sessions.handlers import Sessions
from services.identity.sessions.proof import Prover
from services.identity.users.domain import Account
from services.identity.users.handlers import act_as

PURPOSE = "code"


class _Answered(View):
    """What is recorded of an answer that takes a code or a cookie to a browser: which client it was for."""

    client: str


class Codes:
    def __init__(
        self,
        clients: Clients,
        tokens: TokenMaker,
        prover: Prover,
        sessions: Sessions,
        browsers: Browsers,
        granting: Granting,
    ) -> None:
        self._clients = clients
        self._tokens = tokens
        self._prover = prover
        self._sessions = sessions
        self._browsers = browsers
        self._granting = granting

    # ---- the page ----

    async def check_authorization(self, query: CheckAuthorization, scope: Scope) -> Asked:
        """What the page has to do. Changes nothing: whoever follows a link here has not said anything yet."""
        now = datetime.now(UTC)
        try:
            valid = server.check_authorization(query.parameters, self._clients.get, self._tokens.issuer)
        except Redirected as refused:
            return Asked(location=refused.location)
        holder = await self._browsers.holder(scope, query.browser, now)
        client: RegisteredClient = valid.client
        try:
            step = domain.step(
                query.parameters,
                holder.session.proved_at if holder else None,
                holder.account.email if holder else None,
                not client.first_party,
                now,
            )
        except Refusal as refusal:
            # The client asked not to ask, and hears that this will not do.
            error = {"error": refusal.code}
            back = server.answer_to(valid.redirect_uri, error, query.parameters, self._tokens.issuer)
            return Asked(location=back)
        return Asked(
            client=client.name,
            scopes=tuple(valid.scope.split()),
            step=step,
            email=holder.account.email if holder else None,
            origin=origin_of(valid.redirect_uri),
        )

    async def check_browser(self, query: CheckBrowser, scope: Scope) -> BrowserHolder:
        holder = await self._browsers.must_hold(scope, query.browser, datetime.now(UTC))
        return BrowserHolder(user=holder.account.id, email=holder.account.email)

    # ---- the answer ----

    async def authorize(self, command: Authorize, request: Request) -> Authorized:
        """Whoever signs in here allows it by that: the page says which client it is for."""
        try:
            valid = server.check_authorization(command.parameters, self._clients.get, self._tokens.issuer)
        except Redirected as refused:
            return Authorized(location=refused.location)
        if not command.allow:
            return Authorized(location=self._back(valid, command, {"error": "access_denied"}))
        session, account, changes, events = await self._signed_in(command, valid, request)
        is_new = bool(changes)
        code = domain.issue(
            f"cod_{secrets.token_hex(12)}",
            valid.client.id,
            valid.redirect_uri,
            valid.scope,
            command.parameters,
            account.id,
            session.methods,
            session.proved_at,
            request.now,
        )
        sealed = self._tokens.keyring.seal(PURPOSE, code.id)
        answer = Authorized(
            location=self._back(valid, command, {"code": sealed}),
            browser=self._browsers.cookie(session.id) if is_new else None,
            browser_expires_in=LIFETIME_S if is_new else 0,
        )
        changes.append(store.CODES.put(code, org=PLATFORM))
        recorded = _Answered(client=code.client)
        return await request.commit(changes, events, reply=answer, recorded=recorded)

    async def _signed_in(
        self, command: Authorize, valid: Valid, request: Request
    ) -> tuple[Session, Account, list[Change], list[Event]]:
        """By what they typed, or else by what the browser holds, if that is enough for this request."""
        if command.password is not None:
            proved = await self._prover.prove(request, command.email, command.password, command.code)
            session, changes, events = await self._sessions.opening(
                proved, request, FOR_BROWSER, domain.BROWSER_LIFETIME
            )
            return session, proved.account, changes, events
        holder = await self._browsers.must_hold(request.scope, command.browser or "", request.now)
        # Whoever posts has been asked, so there is nothing to ask but a sign-in that would be too old.
        asked = domain.step(
            command.parameters, holder.session.proved_at, holder.account.email, False, request.now
        )
        if asked == "sign_in":
            raise domain.BrowserUnknown("sign in first")
        act_as(request, holder.account, holder.session.id)
        return holder.session, holder.account, [], []

    async def sign_in_browser(self, command: SignInBrowser, request: Request) -> SignedInBrowser:
        proved = await self._prover.prove(request, command.email, command.password, command.code)
        session, changes, events = await self._sessions.opening(
            proved, request, FOR_BROWSER, domain.BROWSER_LIFETIME
        )
        answer = SignedInBrowser(browser=self._browsers.cookie(session.id), browser_expires_in=LIFETIME_S)
        return await request.commit(changes, events, reply=answer, recorded=_Answered(client="browser"))

    def _back(self, valid: Valid, command: Authorize, answer: dict[str, str]) -> str:
        return server.answer_to(valid.redirect_uri, answer, command.parameters, self._tokens.issuer)

    # ---- the token endpoint ----

    async def redeem_code(self, command: RedeemCode, request: Request) -> Granted:
        parts = self._tokens.keyring.unseal(PURPOSE, command.code.get_secret_value())
        code = await store.code(request.scope, parts[0]) if parts else None
        form = {
            "grant_type": "authorization_code",
            "code": command.code.get_secret_value(),
            "redirect_uri": command.redirect_uri,
            "code_verifier": command.code_verifier,
        }
        server.check_code(form, command.client, self._clients.get, code)
        assert code is not None, "checked"
        if not code.is_good(request.now):
            return await self._used_again(code, request)
        session, account, changes, events = await self._granting.opening(
            request, code.user, code.client, code.scope, code.methods, code.authenticated_at
        )
        changes.append(store.CODES.put(domain.redeemed(code, session.id), org=PLATFORM))
        answer = self._granting.granted(session, account, request.now, code.nonce)
        try:
            return await request.commit(
                changes, events, reply=answer, recorded=self._granting.recorded(session)
            )
        except AlreadyAnswered as answered:
            return await self._granting.granted_before(answered.recorded, request, code.nonce)

    redeem_code.replays_itself = True  # type: ignore[attr-defined]  # read by the edge

    async def _used_again(self, code: Code, request: Request) -> Granted:
        """The same request once more is answered again. Anybody else shows that the code got into other
        hands, so what it became is over (RFC 6749, 4.1.2)."""
        if code.session is None:
            raise InvalidGrant("the code has expired")
        recorded = await request.journal.recorded(request.id)
        if recorded:
            return await self._granting.granted_before(recorded, request, code.nonce)
        session = await opened.session(request.scope, code.session)
        if session:
            ended, events = sessions.end(session, "code_reused", request.now)
            if events:
                await opened.save_ended_though_refused(request, ended, events)
        raise InvalidGrant("the code had been used; what it gave is over")
