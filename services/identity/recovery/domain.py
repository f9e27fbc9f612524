"""Rules of links that were mailed. No I/O.

A link names the state of its account: it dies when the password changes, when another link was used, when its
address is verified, or after its time.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from libs.errors import Invalid
from services.identity.users.domain import Account


class LinkRefused(Invalid):
    """The link is not ours, was used, or its time is over; ask for a new one."""


class Link(NamedTuple):
    """What a genuine token says."""

    user: str
    until: int
    credentials: int


def check(link: Link | None, account: Account | None, now: datetime) -> Account:
    if link is None or account is None or account.id != link.user:
        raise LinkRefused("not a link of ours")
    if now.timestamp() >= link.until or account.credentials != link.credentials:
        raise LinkRefused("the link is no longer good; ask for a new one")
    return account


def check_unverified(account: Account) -> Account:
    if account.email_verified:
        raise LinkRefused("the address is verified already")
    return account
