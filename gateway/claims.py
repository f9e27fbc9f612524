"""Who a request comes from, once its token or key has been verified. Values only."""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from libs.contracts.base import Caller
from libs.permissions import Grant, Limit


@dataclass(frozen=True)
class Claims:
    """What a verified token or key says.

    It holds while nothing of what it `rests_on` has ended (its session, its own id) and all that it `needs`
    is there in its organization (a key, an issuer, a trust rule). `org` is set where it counts in that
    organization alone. `roles` are roles that the organization gives for what a foreign token says.
    """

    subject: str
    expires_at: float
    email: str = ""
    name: str = ""
    session: str | None = None
    # What an OAuth client asked for, if one did.
    scope: str = ""
    rests_on: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    org: str | None = None
    limits: tuple[Limit, ...] = ()
    roles: tuple[str, ...] = ()
    # False where something outside may end it of which no event tells: the key of a foreign issuer.
    told_of_its_end: bool = True

    @property
    def expired(self) -> bool:
        return self.expires_at <= time.time()


def caller_of(claims: Claims | None, connection: HTTPConnection, grants: tuple[Grant, ...] = ()) -> Caller:
    """Who asks, from where, and what they hold."""
    return Caller(
        subject=claims.subject if claims else "anonymous",
        name=(claims.email or claims.name) if claims else "",
        session=claims.session if claims else None,
        address=connection.client.host if connection.client else None,
        agent=(connection.headers.get("user-agent") or "")[:200] or None,
        grants=grants,
    )
