"""Service accounts, and the API keys that they sign in with."""

from __future__ import annotations

from pydantic import Field

from libs.contracts.base import (
    Command,
    Event,
    Frozen,
    Moment,
    Name,
    Page,
    Paged,
    Query,
    Resource,
    Slug,
    topic,
)
from libs.contracts.identity.access import Path, Permission


# What readers get.
class KeyScope(Frozen):
    """What a key or a token is limited to, whatever its holder may do: these permissions, on this part."""

    permissions: tuple[Permission, ...] | None = Field(default=None, max_length=100)
    path: Path = ""


class ServiceAccount(Resource):
    id: str
    slug: str
    name: str
    created_at: Moment
    created_by: str


class ApiKey(Resource):
    """`hint` is how the key begins. The key itself is shown once."""

    id: str
    account: str
    name: str
    hint: str
    scope: KeyScope
    created_at: Moment
    created_by: str
    expires_at: Moment | None
    # To the minute, and a minute late at most.
    last_used_at: Moment | None = None


class ApiKeyWithSecret(ApiKey):
    key: str


# Commands.
class CreateServiceAccount(Command[ServiceAccount], permission="account:update"):
    org: str
    slug: Slug
    name: Name


class DeleteServiceAccount(Command[None], permission="account:update"):
    """With its keys, and with what it was assigned."""

    org: str
    account: str


class CreateKey(Command[ApiKeyWithSecret], permission="account:update"):
    """The caller has to hold all that the key will be able to do."""

    org: str
    account: str
    name: Name
    scope: KeyScope = KeyScope()
    expires_at: Moment | None = None


class RevokeKey(Command[None], permission="account:update"):
    org: str
    account: str
    key: str


class NoteKeysUsed(Command[None]):
    """Told by gateways, for their own use; no route leads here."""

    org: str
    used: dict[str, Moment] = Field(max_length=1000)


# Queries.
class ListServiceAccounts(Paged, Query[Page[ServiceAccount]], permission="account:read"):
    org: str

    def topics(self) -> tuple[str, ...]:
        return (topic("accounts", self.org),)


class ListKeys(Paged, Query[Page[ApiKey]], permission="account:read"):
    org: str
    account: str

    def topics(self) -> tuple[str, ...]:
        return (topic("keys", self.org, self.account),)


# Events.
class _OfAccount(Event, permission="account:read"):
    org: str
    account: str

    def topics(self) -> tuple[str, ...]:
        # Asking for the keys of an account that is not there is an answer too.
        return (
            topic("accounts", self.org),
            topic("keys", self.org, self.account),
            topic("trust-rules", self.org, self.account),
        )


class ServiceAccountCreated(_OfAccount, permission="account:read"):
    name: str

    def summary(self) -> str:
        return f"service account {self.name} created"


class ServiceAccountDeleted(_OfAccount, permission="account:read"):
    def summary(self) -> str:
        return f"service account {self.account} deleted"


class KeyCreated(_OfAccount, permission="account:read"):
    """`fingerprint` is the SHA-256 of the key in hex, by which gateways know it."""

    key: str
    name: str
    fingerprint: str
    permissions: tuple[str, ...] | None
    path: str
    expires_at: Moment | None

    def summary(self) -> str:
        return f"key {self.name} of {self.account} created"


class KeyRevoked(_OfAccount, permission="account:read"):
    key: str
    fingerprint: str

    def summary(self) -> str:
        return f"key {self.key} of {self.account} revoked"


class KeysUsed(Event, permission="account:read"):
    """When keys were last used. Told at most once a minute for each key."""

    org: str
    accounts: tuple[str, ...]

    def topics(self) -> tuple[str, ...]:
        return tuple(topic("keys", self.org, account) for account in self.accounts)

    def summary(self) -> str:
        return "keys were used"
