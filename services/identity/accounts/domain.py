"""Rules of service accounts and their API keys. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from libs.contracts.base import Caller, Event, Resource
from libs.contracts.identity import (
    ApiKey,
    CreateKey,
    CreateServiceAccount,
    KeyCreated,
    KeyRevoked,
    KeyScope,
    ServiceAccount,
    ServiceAccountCreated,
    ServiceAccountDeleted,
    node,
)
from libs.errors import Conflict, Invalid, NotFound
from libs.permissions import Grant, Limit, narrowed
from services.identity.members.domain import check_grant

# What a key begins with, so that people and scanners of secrets know one when they see it.
PREFIX = "mesk"
RANDOM_CHARACTERS = 32
CHECKSUM_CHARACTERS = 6
HINT_CHARACTERS = len(PREFIX) + 1 + 4
MOST_KEYS = 50
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class AccountExists(Conflict):
    """The organization has a service account of that slug."""


class AccountNotFound(NotFound):
    """No such service account."""


class KeyNotFound(NotFound):
    """The service account has no such key."""


class TooManyKeys(Conflict):
    """The service account has as many keys as one may; revoke some first."""


class ExpiryPassed(Invalid):
    """A key that has expired already is of no use."""


class StoredKey(ApiKey):
    """A key as it is kept: by the SHA-256 of what its holder shows. An `ApiKey` is what readers get."""

    fingerprint: str

    def view(self) -> ApiKey:
        return ApiKey.model_validate(self.model_dump(exclude={"fingerprint"}))


def place(key: StoredKey) -> str:
    """Where a key stands in a list: the order in which they were made."""
    return f"{key.created_at.astimezone(UTC).isoformat(timespec='milliseconds')} {key.id}"


def page(keys: Sequence[StoredKey], after: str | None, limit: int) -> tuple[list[StoredKey], str | None]:
    """Part of an account's keys, which come in their order, and the cursor if more follow."""
    left = [key for key in keys if after is None or place(key) > after]
    return left[:limit], place(left[limit - 1]) if len(left) > limit else None


class KeyUse(Resource):
    """When a key was last used; apart from the key, so that using it does not change it."""

    key: str
    at: datetime


def key_text(secret: bytes) -> str:
    """The key that belongs to 32 secret bytes: prefix, base62, and a checksum that tells a misread one."""
    body = f"{PREFIX}_{base62(int.from_bytes(secret), RANDOM_CHARACTERS)}"
    return body + base62(zlib.crc32(body.encode()), CHECKSUM_CHARACTERS)


def derived(secret: bytes, organization: str, key: str) -> str:
    """A key is derived from the keyring instead of being stored, so that it can be told again to a repeated
    request and to nobody else."""
    return key_text(hmac.new(secret, f"api-key|{organization}|{key}".encode(), hashlib.sha256).digest())


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def base62(number: int, length: int) -> str:
    """The last `length` digits."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def limit(organization: str, scope: KeyScope) -> Limit:
    permissions = None if scope.permissions is None else frozenset(scope.permissions)
    return Limit(permissions, node(organization, scope.path))


def create(
    existing: ServiceAccount | None, command: CreateServiceAccount, account: str, by: str, now: datetime
) -> tuple[ServiceAccount, list[Event]]:
    if existing:
        raise AccountExists(f"there is a service account {command.slug}")
    made = ServiceAccount(
        id=account, slug=command.slug, name=command.name, created_at=now, created_by=by, revision=1
    )
    return made, [ServiceAccountCreated(org=command.org, account=made.id, name=made.name)]


def delete(account: ServiceAccount, organization: str, keys: Iterable[StoredKey]) -> list[Event]:
    """What the account was assigned is the handler's to take along."""
    revoked = [event for key in keys for event in revoke(key, organization)]
    return [*revoked, ServiceAccountDeleted(org=organization, account=account.id)]


def issue(
    command: CreateKey,
    key: str,
    text: str,
    issued: int,
    grants: Iterable[Grant],
    caller: Caller,
    now: datetime,
) -> tuple[StoredKey, list[Event]]:
    """`grants` is what the account holds; `issued` is how many keys it has. Whoever makes a key has it in
    hand, so they get what the key can do."""
    if issued >= MOST_KEYS:
        raise TooManyKeys(f"{MOST_KEYS} at most")
    if command.expires_at is not None and command.expires_at <= now:
        raise ExpiryPassed("expires_at lies in the past")
    for grant in narrowed(grants, [limit(command.org, command.scope)]):
        check_grant(caller, grant.allows(), grant.resource)
    made = StoredKey(
        id=key,
        account=command.account,
        name=command.name,
        hint=text[:HINT_CHARACTERS],
        scope=command.scope,
        created_at=now,
        created_by=caller.subject,
        expires_at=command.expires_at,
        fingerprint=fingerprint(text),
        revision=1,
    )
    event = KeyCreated(
        org=command.org,
        account=made.account,
        key=made.id,
        name=made.name,
        fingerprint=made.fingerprint,
        permissions=made.scope.permissions,
        path=made.scope.path,
        expires_at=made.expires_at,
    )
    return made, [event]


def revoke(key: StoredKey, organization: str) -> list[Event]:
    return [KeyRevoked(org=organization, account=key.account, key=key.id, fingerprint=key.fingerprint)]


def known(account: ServiceAccount | None, name: str) -> ServiceAccount:
    if account is None:
        raise AccountNotFound(f"no service account {name}")
    return account


def known_key(key: StoredKey | None, account: str, name: str) -> StoredKey:
    if key is None or key.account != account:
        raise KeyNotFound(f"no key {name}")
    return key
