"""Rules of authenticator apps (TOTP, RFC 6238) and recovery codes. No I/O."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b32encode
from datetime import datetime
from typing import Any, NamedTuple

import pyotp

from libs.contracts.base import Event, Moment, Resource
from libs.contracts.identity import RecoveryCodesReplaced, RecoveryCodeUsed, TotpConfirmed, TotpRemoved
from libs.errors import Conflict, Forbidden, NotFound, Unauthenticated
from services.identity.users.domain import Account

RECOVERY_CODES = 10
# A clock may be off by one step, and typing takes time.
STEPS_AROUND = 1
STEP_S = 30


POSSIBLE = (
    {"field": "code", "message": "of the authenticator app", "code": "totp"},
    {"field": "code", "message": "one of the recovery codes", "code": "recovery_code"},
)


class SecondFactorRequired(Unauthenticated):
    """The password is right; `errors` names what can be sent as `code` with it."""

    def __init__(
        self, detail: str = "send a code as well", errors: tuple[dict[str, Any], ...] | None = None
    ) -> None:
        super().__init__(detail, POSSIBLE if errors is None else errors)


class CodeRefused(Unauthenticated):
    """The code is wrong, or was used already."""


class TotpExists(Conflict):
    """There is an authenticator app already; remove it first."""


class TotpNotFound(NotFound):
    """There is no authenticator app, or none that waits to be confirmed."""


class PasswordNeedsSecondFactor(Forbidden):
    """The password is too short to be the only factor; change it first."""


class SecondFactor(Resource):
    """The authenticator app of one user, with its recovery codes.

    The app's secret is not in here: it is derived from the keyring and `enrolment`.
    """

    user: str
    enrolment: str
    started_at: Moment
    confirmed_at: Moment | None = None
    # The newest time step of which a code was used: that code, and older ones, are no longer good.
    last_step: int = 0
    # Which set of recovery codes counts, and digests of those that are left.
    codes: str = ""
    left: tuple[str, ...] = ()


class Used(NamedTuple):
    """A factor after a code of it was used, and how that is called (RFC 8176)."""

    factor: SecondFactor
    method: str
    events: list[Event]


def enrol(before: SecondFactor | None, user: str, enrolment: str, now: datetime) -> SecondFactor:
    if before and before.confirmed_at:
        raise TotpExists("remove the authenticator app first")
    revision = (before.revision if before else 0) + 1
    return SecondFactor(user=user, enrolment=enrolment, started_at=now, revision=revision)


def confirm(
    factor: SecondFactor | None, secret: str, code: str, codes: str, texts: tuple[str, ...], now: datetime
) -> tuple[SecondFactor, list[Event]]:
    if factor is None or factor.confirmed_at or not factor.enrolment:
        raise TotpNotFound("start one first")
    step = _step(factor, secret, code, now)
    if step is None:
        raise CodeRefused("the code does not fit; is the clock right?")
    fields = {"confirmed_at": now, "last_step": step, "codes": codes, "left": _digests(texts)}
    return _changed(factor, **fields), [TotpConfirmed(user=factor.user)]


def use(factor: SecondFactor, secret: str, code: str, now: datetime) -> Used:
    """One code, once. Raises CodeRefused."""
    step = _step(factor, secret, code, now)
    if step is not None:
        return Used(_changed(factor, last_step=step), "otp", [])
    digest = _digest(code)
    # Every digest is compared, so that time does not tell which one it was.
    fitting = [left for left in factor.left if hmac.compare_digest(left, digest)]
    if not fitting:
        raise CodeRefused("the code is wrong, or was used already")
    remaining = tuple(left for left in factor.left if left != digest)
    event = RecoveryCodeUsed(user=factor.user, left=len(remaining))
    return Used(_changed(factor, left=remaining), "otp", [event])


def replace_codes(
    factor: SecondFactor | None, codes: str, texts: tuple[str, ...]
) -> tuple[SecondFactor, list[Event]]:
    factor = confirmed(factor)
    changed = _changed(factor, codes=codes, left=_digests(texts))
    return changed, [RecoveryCodesReplaced(user=factor.user)]


def remove(factor: SecondFactor | None, account: Account) -> tuple[SecondFactor, list[Event]]:
    """An empty one stays, so that revisions go on when there is another."""
    factor = confirmed(factor)
    if not account.password_is_long:
        raise PasswordNeedsSecondFactor("choose a longer password first")
    empty = _changed(factor, enrolment="", confirmed_at=None, codes="", left=())
    return empty, [TotpRemoved(user=factor.user)]


def confirmed(factor: SecondFactor | None) -> SecondFactor:
    if factor is None or not factor.confirmed_at:
        raise TotpNotFound("there is no authenticator app")
    return factor


def is_on(factor: SecondFactor | None) -> bool:
    return factor is not None and factor.confirmed_at is not None


def recovery_texts(material: bytes) -> tuple[str, ...]:
    """Codes from derived bytes: 80 bits each, so that their digests need no salt and no slow hash."""
    texts = []
    for number in range(RECOVERY_CODES):
        one = hashlib.sha256(material + bytes([number])).digest()[:10]
        text = b32encode(one).decode().lower()
        texts.append("-".join(text[start : start + 4] for start in range(0, 16, 4)))
    return tuple(texts)


def totp_secret(material: bytes) -> str:
    return b32encode(material[:20]).decode()


def uri(secret: str, email: str, issuer: str) -> str:
    return pyotp.TOTP(secret, interval=STEP_S).provisioning_uri(name=email, issuer_name=issuer)


def _step(factor: SecondFactor, secret: str, code: str, now: datetime) -> int | None:
    """The time step that the code belongs to, if it is good and newer than the last one used."""
    plain = "".join(code.split())
    if not (plain.isascii() and plain.isdigit()):
        return None
    totp = pyotp.TOTP(secret, interval=STEP_S)
    present = int(now.timestamp()) // STEP_S
    for step in range(present - STEPS_AROUND, present + STEPS_AROUND + 1):
        if step > factor.last_step and hmac.compare_digest(totp.generate_otp(step), plain):
            return step
    return None


def _digests(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_digest(text) for text in texts)


def _digest(text: str) -> str:
    """However it was typed."""
    plain = "".join(sign for sign in text.lower() if sign.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()


def _changed(factor: SecondFactor, **fields: object) -> SecondFactor:
    return factor.model_copy(update={**fields, "revision": factor.revision + 1})
