"""Rules of authorization: when to ask the person, and what a code is good for. No I/O."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from libs.contracts.base import Moment, Resource
from libs.contracts.identity import AuthorizationParameters
from libs.errors import Unauthenticated
from libs.oauth import InteractionRequired, LoginRequired

# Long enough for a redirect, and for nothing else.
LIFETIME = timedelta(seconds=60)
# How long a browser is signed in.
BROWSER_LIFETIME = timedelta(hours=12)

Step = Literal["sign_in", "consent", "go"]


class BrowserUnknown(Unauthenticated):
    """Nobody is signed in with this browser, or no longer."""


class Code(Resource):
    """What a browser takes to the client. The code itself is derived from `id`, and stored nowhere."""

    id: str
    client: str
    redirect_uri: str
    scope: str
    nonce: str | None
    # PKCE: the hash of what only the client that asked knows.
    code_challenge: str
    user: str
    methods: tuple[str, ...]
    authenticated_at: Moment
    expires_at: Moment
    # The session that it became.
    session: str | None = None

    def is_good(self, now: datetime) -> bool:
        return self.session is None and now < self.expires_at

    # What Authlib asks of a code.

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


def step(
    parameters: AuthorizationParameters,
    proved_at: datetime | None,
    email: str | None,
    asks_always: bool,
    now: datetime,
) -> Step:
    """What the person has to do. `proved_at` is when this browser's user last proved to be `email`; None if
    nobody is signed in. `asks_always` holds for clients that anybody could pretend to be, and foreign ones.

    Raises LoginRequired or InteractionRequired where the client asked not to ask.
    """
    prompts = set((parameters.prompt or "").split())
    fresh = proved_at is not None and not prompts & {"login", "select_account"}
    if fresh and proved_at is not None and parameters.max_age is not None:
        fresh = now - proved_at <= timedelta(seconds=int(parameters.max_age))
    hint = parameters.login_hint
    if fresh and hint and "@" in hint and hint.strip().lower() != email:
        # The client means somebody else than who is signed in here.
        fresh = False
    if not fresh:
        if "none" in prompts:
            raise LoginRequired("nobody is signed in")
        return "sign_in"
    if asks_always or "consent" in prompts:
        if "none" in prompts:
            raise InteractionRequired("the person has to be asked")
        return "consent"
    return "go"


def issue(
    code: str,
    client: str,
    redirect_uri: str,
    scope: str,
    parameters: AuthorizationParameters,
    user: str,
    methods: tuple[str, ...],
    authenticated_at: datetime,
    now: datetime,
) -> Code:
    return Code(
        id=code,
        client=client,
        redirect_uri=redirect_uri,
        scope=scope,
        nonce=parameters.nonce,
        code_challenge=parameters.code_challenge or "",
        user=user,
        methods=methods,
        authenticated_at=authenticated_at,
        expires_at=now + LIFETIME,
        revision=1,
    )


def redeemed(code: Code, session: str) -> Code:
    return code.model_copy(update={"session": session, "revision": code.revision + 1})
