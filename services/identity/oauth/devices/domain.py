"""Rules of devices that wait to be let in (RFC 8628). No I/O."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from libs.contracts.base import Event, Moment, Resource
from libs.contracts.identity import DeviceAsked, DeviceDecided
from libs.errors import NotFound

LIFETIME = timedelta(minutes=10)
INTERVAL = timedelta(seconds=5)
# A device that waits for its interval by its own clock may be this much early.
JITTER = timedelta(milliseconds=500)


class DeviceNotFound(NotFound):
    """No device waits with this code: misread, too old, or decided already."""


class Device(Resource):
    """A device that asked to be signed in. Its own code is derived from `id`, and stored nowhere."""

    id: str
    user_code: str
    client: str
    scope: str
    # Where it asked from, as we saw it.
    address: str | None
    agent: str | None
    asked_at: Moment
    expires_at: Moment
    interval_s: int = int(INTERVAL.total_seconds())
    polled_at: Moment | None = None
    decided: Literal["approved", "denied"] | None = None
    user: str | None = None
    methods: tuple[str, ...] = ()
    authenticated_at: Moment | None = None
    # The session that it became.
    session: str | None = None

    def view(self, client: str) -> DeviceAsked:
        return DeviceAsked(
            user_code=self.user_code,
            client=client,
            address=self.address,
            agent=self.agent,
            asked_at=self.asked_at,
        )


def normal(user_code: str) -> str:
    """As it is kept, however a person typed it."""
    letters = "".join(letter for letter in user_code.upper() if letter.isalnum())
    return f"{letters[:4]}-{letters[4:]}"


def begin(
    device: str,
    user_code: str,
    client: str,
    scope: str,
    address: str | None,
    agent: str | None,
    now: datetime,
) -> Device:
    return Device(
        id=device,
        user_code=user_code,
        client=client,
        scope=scope,
        address=address,
        agent=agent,
        asked_at=now,
        expires_at=now + LIFETIME,
        revision=1,
    )


def waiting(device: Device | None, now: datetime) -> Device:
    if device is None or device.decided or now >= device.expires_at:
        raise DeviceNotFound("no device waits with this code")
    return device


def decide(
    device: Device | None,
    approve: bool,
    user: str,
    methods: tuple[str, ...],
    authenticated_at: datetime,
    now: datetime,
) -> tuple[Device, list[Event]]:
    device = waiting(device, now)
    fields = {
        "decided": "approved" if approve else "denied",
        "user": user,
        "methods": methods,
        "authenticated_at": authenticated_at,
        "revision": device.revision + 1,
    }
    event = DeviceDecided(user=user, client=device.client, approved=approve, address=device.address)
    return device.model_copy(update=fields), [event]


def is_too_soon(device: Device, now: datetime) -> bool:
    if device.polled_at is None:
        return False
    return now < device.polled_at + timedelta(seconds=device.interval_s) - JITTER


def polled(device: Device, now: datetime) -> Device:
    """Too soon makes the interval longer, for good (RFC 8628, 3.5)."""
    longer = int(INTERVAL.total_seconds()) if is_too_soon(device, now) else 0
    fields = {
        "polled_at": now,
        "interval_s": device.interval_s + longer,
        "revision": device.revision + 1,
    }
    return device.model_copy(update=fields)


def let_in(device: Device, session: str) -> Device:
    return device.model_copy(update={"session": session, "revision": device.revision + 1})
