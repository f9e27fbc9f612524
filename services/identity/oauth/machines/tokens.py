"""Tokens of service accounts, signed: from what is recorded of them, as often as it is asked for."""

from __future__ import annotations

from datetime import datetime

from libs.contracts.identity import Granted
from libs.oauth import InvalidGrant
from libs.service.request import Request
from libs.store.commit import RecordedReply
from services.identity.keys.tokens import AUDIENCE, TokenMaker
from services.identity.oauth.machines import domain
from services.identity.oauth.machines.domain import MachineToken
from services.identity.repeats import first_answer

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # the name of a kind, no secret


class MachineTokens:
    def __init__(self, tokens: TokenMaker) -> None:
        self._tokens = tokens

    def granted(self, token: MachineToken, name: str, now: datetime) -> Granted:
        left = int((token.expires_at - now).total_seconds())
        return Granted(
            access_token=self._tokens.sign(domain.claims(token, self._tokens.issuer, AUDIENCE, name)),
            expires_in=max(left, 0),
            issued_token_type=ACCESS_TOKEN if token.exchanged else None,
        )

    def granted_before(self, recorded: RecordedReply, name: str, request: Request) -> Granted:
        """The same token again, for who has proved itself again."""
        token = MachineToken.model_validate_json(first_answer(recorded, request))
        if token.expires_at <= request.now:
            raise InvalidGrant("the token of the first answer has run out")
        return self.granted(token, name, request.now)
