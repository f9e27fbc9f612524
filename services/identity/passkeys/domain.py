"""Rules of passkeys (WebAuthn). No I/O, and no cryptography: what was shown arrives here verified."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from libs.contracts.base import Event, Moment, Name, Resource
from libs.contracts.identity import Passkey, PasskeyAdded, PasskeyRemoved, PasskeyUsed
from libs.errors import Conflict, Invalid, NotFound, Unauthenticated

MOST_PASSKEYS = 20
CHALLENGE_FOR = timedelta(minutes=5)
# What readers see of the last use is kept to this, so that not every sign-in changes the list.
SEEN_EVERY = timedelta(hours=1)


class PasskeyRefused(Unauthenticated):
    """The passkey is not one of ours, or what it signed is not what we asked for. Which is not told."""


class PasskeyCloned(Unauthenticated):
    """The authenticator's counter went back: there is a second one with the same key. The passkey is refused
    from now on; remove it and add a new one."""


class PasskeyInvalid(Invalid):
    """What the authenticator gave cannot be kept: it does not answer our challenge, or lacks the user's
    verification."""


class PasskeyExists(Conflict):
    """This passkey is there already."""


class TooManyPasskeys(Conflict):
    """An account has twenty passkeys at most."""


class PasskeyNotFound(NotFound):
    """The caller has no such passkey."""


class StoredPasskey(Resource):
    # The digest of the credential's id, which may be longer than a key of the database.
    id: str
    credential: str
    user: str
    name: Name
    public_key: str
    sign_count: int
    transports: tuple[str, ...] = ()
    synced: bool = False
    created_at: Moment
    used_at: Moment | None = None
    cloned: bool = False
    edition: int = 1

    def view(self) -> Passkey:
        return Passkey(
            id=self.id,
            name=self.name,
            created_at=self.created_at,
            used_at=self.used_at,
            synced=self.synced,
            revision=self.edition,
        )


class SpentChallenge(Resource):
    """A challenge that was answered. Kept until it would have expired."""

    id: str
    expires_at: Moment


def passkey_id(credential: str) -> str:
    return "pky_" + hashlib.sha256(credential.encode()).hexdigest()[:40]


def add(new: StoredPasskey, existing: StoredPasskey | None, held: int) -> tuple[StoredPasskey, list[Event]]:
    if existing:
        raise PasskeyExists("this passkey is there already")
    if held >= MOST_PASSKEYS:
        raise TooManyPasskeys(f"{MOST_PASSKEYS} at most")
    return new, [PasskeyAdded(user=new.user, passkey=new.id, name=new.name)]


def use(passkey: StoredPasskey, sign_count: int, now: datetime) -> tuple[StoredPasskey, list[Event]]:
    """Raises PasskeyCloned where the counter did not grow. Zero is an authenticator that does not count."""
    if passkey.cloned or ((sign_count or passkey.sign_count) and sign_count <= passkey.sign_count):
        raise PasskeyCloned("the counter of this passkey went back")
    fields: dict[str, object] = {"sign_count": sign_count, "revision": passkey.revision + 1}
    events: list[Event] = []
    if passkey.used_at is None or passkey.used_at <= now - SEEN_EVERY:
        fields |= {"used_at": now, "edition": passkey.edition + 1}
        events.append(PasskeyUsed(user=passkey.user, passkey=passkey.id))
    return passkey.model_copy(update=fields), events


def distrusted(passkey: StoredPasskey) -> StoredPasskey:
    return passkey.model_copy(update={"cloned": True, "revision": passkey.revision + 1})


def remove(passkey: StoredPasskey | None, user: str) -> tuple[StoredPasskey, list[Event]]:
    if passkey is None or passkey.user != user:
        raise PasskeyNotFound("no such passkey of yours")
    return passkey, [PasskeyRemoved(user=user, passkey=passkey.id, name=passkey.name)]
