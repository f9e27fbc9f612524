"""Refusals whose codes are those of OAuth 2.0 (RFC 6749, 8628, 8693) and OpenID Connect. No I/O.

The token endpoint and its neighbours answer with them in OAuth's own form; clients know them by name.
"""

from __future__ import annotations

from libs.errors import BadRequest, Refusal, TooMany, Unauthenticated


class InvalidRequest(BadRequest):
    """A parameter is missing, there twice, or does not fit."""


class InvalidClient(Unauthenticated):
    """The client is unknown, or did not prove to be who it says."""


class InvalidGrant(BadRequest):
    """What was shown for a token is unknown, used, expired, or was given to another client."""


class UnauthorizedClient(BadRequest):
    """The client may not do this."""


class UnsupportedGrantType(BadRequest):
    """The token endpoint does not take this kind of grant."""


class UnsupportedResponseType(BadRequest):
    """The authorization endpoint answers with a code, and nothing else."""


class UnsupportedTokenType(BadRequest):
    """The hint names a kind of token that this endpoint does not know."""


class InvalidScope(BadRequest):
    """The scope is unknown, or more than the client may ask for."""


class InvalidTarget(BadRequest):
    """The token is asked for something that is not there, or that the grant does not reach."""


class AccessDenied(BadRequest):
    """The person, or a rule, said no."""


class LoginRequired(BadRequest):
    """Nobody is signed in, and the client asked not to ask."""


class InteractionRequired(BadRequest):
    """The person would have to be asked, and the client asked not to ask."""


class AuthorizationPending(BadRequest):
    """The person has not decided yet. Ask again after the interval."""


class SlowDown(BadRequest):
    """Asked again too soon; the interval is five seconds longer from now on."""


class ExpiredToken(BadRequest):
    """The device code is too old. Begin again."""


class InsufficientScope(BadRequest):
    """The access token was not made for this."""

    status = 403


class TooManyGuesses(TooMany):
    """Too many wrong secrets or codes from there; come back later."""

    retry_after = 60


def every_oauth_refusal() -> dict[str, type[Refusal]]:
    """By the code that is also the name on the wire."""
    found: list[type[Refusal]] = [
        InvalidRequest,
        InvalidClient,
        InvalidGrant,
        UnauthorizedClient,
        UnsupportedGrantType,
        UnsupportedResponseType,
        UnsupportedTokenType,
        InvalidScope,
        InvalidTarget,
        AccessDenied,
        LoginRequired,
        InteractionRequired,
        AuthorizationPending,
        SlowDown,
        ExpiredToken,
        InsufficientScope,
    ]
    return {one.code: one for one in found}
