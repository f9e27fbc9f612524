"""Rules of ending a token before its time (RFC 7009). No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from libs.contracts.base import Event, Moment, Resource
from libs.contracts.identity import TokenRevoked
from services.identity.oauth.clients import DIRECTLY


class Revoked(Resource):
    """An access token that is over, remembered for as long as it would have run."""

    id: str
    expires_at: Moment


@dataclass(frozen=True)
class OwnToken:
    """A genuine token, as Authlib asks for it: whose it is."""

    client: str

    def check_client(self, client: object) -> bool:
        return bool(client.get_client_id() == self.client)  # type: ignore[attr-defined]  # of Authlib


@dataclass(frozen=True)
class Holder:
    """Who shows a token that was given to no registered client: the token itself is the proof."""

    id: str = DIRECTLY

    def get_client_id(self) -> str:
        return self.id

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "none"

    def check_client_secret(self, secret: str) -> bool:
        return False


def revoke(token: str, subject: str, org: str, expires_at: Moment) -> tuple[Revoked, list[Event]]:
    revoked = Revoked(id=token, expires_at=expires_at, revision=1)
    return revoked, [TokenRevoked(org=org, jti=token, subject=subject)]
