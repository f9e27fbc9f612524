"""The bus edge of ending tokens: load, decide, save."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from libs.contracts.identity import ClientProof, RevokeToken
from libs.permissions import PLATFORM
from libs.service.request import Request
from services.identity.accounts import domain as accounts
from services.identity.accounts import store as known
from services.identity.keys.tokens import TokenMaker
from services.identity.oauth import server
from services.identity.oauth.clients import DIRECTLY, Clients
from services.identity.oauth.machines.domain import AccountClient
from services.identity.oauth.revocation import domain, store
from services.identity.oauth.revocation.domain import Holder, OwnToken
from services.identity.sessions import domain as sessions
from services.identity.sessions import store as opened


class Revocation:
    def __init__(self, clients: Clients, tokens: TokenMaker) -> None:
        self._clients = clients
        self._tokens = tokens

    async def revoke_token(self, command: RevokeToken, request: Request) -> None:
        """Ending what is over, or unknown, is done already."""
        text = command.token.get_secret_value()
        claim = self._tokens.claim(text)
        if claim:
            session = await opened.session(request.scope, claim.session)
            if session and await self._may(command, session.client, request):
                ended, events = sessions.end(session, "token_revoked", request.now)
                await opened.save_ended(request, session, ended, events)
            return
        claims = self._tokens.verified(text)
        if claims is None:
            # Whether the client is one is answered all the same.
            await self._may(command, None, request)
        elif await self._may(command, str(claims.get("client_id")), request):
            await self._end(claims, request)

    async def _end(self, claims: dict[str, Any], request: Request) -> None:
        token = str(claims["jti"])
        expires_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
        if expires_at <= request.now or await store.revoked(request.scope, token):
            return
        org = str(claims.get("org_id") or PLATFORM)
        revoked, events = domain.revoke(token, str(claims["sub"]), org, expires_at)
        await request.commit([store.REVOKED.put(revoked, org=PLATFORM)], events, reply=None)

    async def _may(self, command: RevokeToken, client: str | None, request: Request) -> bool:
        """Raises InvalidClient, or InvalidGrant where the token is another client's."""
        proof = command.client
        if not proof.id:
            # Nobody names a client where there is none to name, and a runner has no secret.
            direct = client in (DIRECTLY, None) or not self._clients.get(str(client))
            proof = ClientProof(id=str(client) if client and direct else DIRECTLY)
        token = OwnToken(client) if client else None
        found = await self._client(proof, bool(command.client.id), request)
        form = {"token": "-", "token_type_hint": command.token_type_hint}
        return server.check_revocation(form, proof, {proof.id: found}.get, token)

    async def _client(self, proof: ClientProof, named: bool, request: Request) -> Any:
        if not named or proof.id == DIRECTLY:
            return Holder(proof.id)
        registered = self._clients.get(proof.id)
        if registered:
            return registered
        account = await known.account(request.scope, proof.id)
        if account is None:
            return None
        secret = proof.secret.get_secret_value() if proof.secret else ""
        key = await known.by_fingerprint(request.scope, accounts.fingerprint(secret))
        return AccountClient(account, key, request.now)
