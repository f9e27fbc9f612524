"""Rules of sessions and their refresh tokens. No I/O.

A refresh token names a generation of its session. Each refresh moves the session to the next one, and an
old token shows that two parties hold the session, so it ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from libs.contracts.base import Event, Moment, Resource
from libs.contracts.identity import OpenedSession, Reason, SessionEnded, SessionOpened, SessionSeen
from libs.errors import Forbidden, NotFound, Unauthenticated
from libs.permissions import PLATFORM

# For this long the generation before is answered too: two tabs, or an answer that got lost.
OVERLAP = timedelta(seconds=10)
# A sign-in is told to so many organizations, those first joined first; each costs a write.
MOST_TOLD = 50

# What its owner sees of when a session was last used is kept to this, so that not every refresh is news.
SEEN_EVERY = timedelta(hours=1)


class SignInRefused(Unauthenticated):
    """The e-mail address or the password is wrong. Which of them is not told."""


class RefreshRefused(Unauthenticated):
    """The refresh token is not ours, or its session is over."""


class RefreshReused(Unauthenticated):
    """The refresh token had been replaced, so its session has been ended. Sign in again."""


class EmailNotVerified(Forbidden):
    """The password is right, but nobody has followed the link that was mailed to the address."""


class RecentSignInRequired(Forbidden):
    """What an account is signed in with is changed only soon after a sign-in; sign in again."""


class SessionNotFound(NotFound):
    """The caller has no such session."""


class Device(NamedTuple):
    """Where a session is used from, as its owner will know it again."""

    address: str | None = None
    agent: str | None = None


UNKNOWN = Device()


class Client(NamedTuple):
    """Whom a session is opened for, if somebody signs in to another than us, and by an earlier proof."""

    id: str = "mes"
    scope: str = ""
    authenticated_at: datetime | None = None

    @property
    def is_renewable(self) -> bool:
        """Whether it gets refresh tokens. One that speaks OpenID Connect has to ask for them."""
        asked = self.scope.split()
        return "openid" not in asked or "offline_access" in asked


DIRECTLY = Client()


class Session(Resource):
    id: str
    user: str
    # Who holds its tokens, and what it asked for (OAuth); `mes` where somebody signed in with us directly.
    client: str = "mes"
    scope: str = ""
    # When its owner proved to be who they are, if that was for an earlier session of the same browser.
    authenticated_at: Moment | None = None
    # How its owner proved to be who they are (RFC 8176).
    methods: tuple[str, ...] = ()
    address: str | None = None
    agent: str | None = None
    generation: int
    opened_at: Moment
    # When it was last used, as its owner sees it.
    seen_at: Moment | None = None
    # When the present generation began.
    turned_at: Moment
    expires_at: Moment
    ended_at: Moment | None = None
    reason: Reason | None = None

    @property
    def proved_at(self) -> datetime:
        return self.authenticated_at or self.opened_at

    @property
    def is_renewable(self) -> bool:
        return Client(self.client, self.scope).is_renewable

    def view(self, current: str) -> OpenedSession:
        return OpenedSession(
            id=self.id,
            current=self.id == current,
            opened_at=self.opened_at,
            seen_at=self.seen_at or self.opened_at,
            address=self.address,
            agent=self.agent,
            methods=self.methods,
            client=self.client,
        )


def open_for(
    session: str,
    user: str,
    organizations: Iterable[str],
    now: datetime,
    lifetime: timedelta,
    device: Device = UNKNOWN,
    methods: tuple[str, ...] = ("pwd",),
    client: Client = DIRECTLY,
) -> tuple[Session, list[Event]]:
    opened = Session(
        id=session,
        user=user,
        client=client.id,
        scope=client.scope,
        authenticated_at=client.authenticated_at,
        methods=methods,
        address=device.address,
        agent=device.agent,
        generation=1,
        opened_at=now,
        turned_at=now,
        expires_at=now + lifetime,
        revision=1,
    )
    told = [PLATFORM, *list(organizations)[:MOST_TOLD]]
    return opened, [SessionOpened(org=org, user=user, session=session) for org in told]


def turn(session: Session | None, generation: int, now: datetime, lifetime: timedelta) -> Session:
    """The session in its next generation; unchanged where the present one is to be told again."""
    session = in_use(session, now)
    if generation == session.generation:
        return _changed(session, generation=generation + 1, turned_at=now, expires_at=now + lifetime)
    if generation == session.generation - 1 and now < session.turned_at + OVERLAP:
        return session
    if generation < session.generation:
        raise RefreshReused("the refresh token had been replaced; the session is ended")
    raise RefreshRefused("no such refresh token")


def seen(before: Session, turned: Session, device: Device, now: datetime) -> tuple[Session, list[Event]]:
    """Where and when the session goes on, if that is news to its owner."""
    if turned is before:
        return turned, []
    same = (before.address, before.agent) == (device.address, device.agent)
    if same and now < (before.seen_at or before.opened_at) + SEEN_EVERY:
        return turned, []
    told = turned.model_copy(update={"seen_at": now, "address": device.address, "agent": device.agent})
    return told, [SessionSeen(user=before.user, session=before.id)]


def check_recent(session: Session | None, user: str, now: datetime, window: timedelta) -> None:
    """Raises RecentSignInRequired."""
    if session is None or session.user != user or session.ended_at or session.proved_at < now - window:
        raise RecentSignInRequired("sign in again first")


def in_use(session: Session | None, now: datetime) -> Session:
    if session and session.reason == "refresh_reused":
        raise RefreshReused("a replaced refresh token was used; the session is ended")
    if session is None or session.ended_at or now >= session.expires_at:
        raise RefreshRefused("the session is over")
    return session


def end(session: Session, reason: Reason, now: datetime) -> tuple[Session, list[Event]]:
    """Ending twice is ending once."""
    if session.ended_at:
        return session, []
    ended = _changed(session, ended_at=now, reason=reason)
    return ended, [SessionEnded(user=session.user, session=session.id, reason=reason)]


def own(session: Session | None, user: str) -> Session:
    if session is None or session.user != user:
        raise SessionNotFound("no such session of yours")
    return session


def _changed(session: Session, **fields: Any) -> Session:
    return session.model_copy(update={**fields, "revision": session.revision + 1})
