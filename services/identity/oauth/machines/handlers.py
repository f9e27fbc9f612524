"""Tokens of service accounts that show one of their keys (client credentials): load, decide, save."""

from __future__ import annotations

from datetime import timedelta

from libs.contracts.identity import Granted, IssueToken
from libs.service.request import Request
from libs.store.commit import AlreadyAnswered
from services.identity.accounts import domain as accounts
from services.identity.accounts import store as known
from services.identity.oauth import server
from services.identity.oauth.machines import domain
from services.identity.oauth.machines.domain import AccountClient
from services.identity.oauth.machines.tokens import MachineTokens

LIFETIME = timedelta(minutes=10)


class Machines:
    def __init__(self, tokens: MachineTokens) -> None:
        self._tokens = tokens

    async def issue_token(self, command: IssueToken, request: Request) -> Granted:
        account = await known.account(request.scope, command.client.id)
        secret = command.client.secret.get_secret_value() if command.client.secret else ""
        key = await known.by_fingerprint(request.scope, accounts.fingerprint(secret))
        client = AccountClient(account, key, request.now) if account else None
        form = {"grant_type": "client_credentials"}
        server.check_secret(form, command.client, {command.client.id: client}.get)
        assert account is not None, "checked"
        assert key is not None, "checked"
        token, events = domain.by_key(command.org, account, key, command.scope, LIFETIME, request.now)
        act_as(request, account.id, account.name)
        answer = self._tokens.granted(token, account.name, request.now)
        try:
            return await request.commit([], events, reply=answer, recorded=token)
        except AlreadyAnswered as answered:
            return self._tokens.granted_before(answered.recorded, account.name, request)

    issue_token.replays_itself = True  # type: ignore[attr-defined]  # read by the edge


def act_as(request: Request, account: str, name: str) -> None:
    """From here on the request's author is the service account that has just proved to be one."""
    request.caller = request.caller.model_copy(update={"subject": account, "name": name})
