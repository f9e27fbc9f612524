"""Rules of foreign issuers. No I/O. What a token of one says is judged by the gateways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from libs.contracts.base import Caller, Event
from libs.contracts.identity import (
    Issuer,
    IssuerRemoved,
    IssuerSet,
    IssuerSettings,
    RegisterIssuer,
    UpdateIssuer,
)
from libs.errors import Conflict, Invalid, NotFound, StaleRevision
from libs.permissions import OWNER
from services.identity.members.domain import check_grant

MOST_ISSUERS = 20


class IssuerNotFound(NotFound):
    """The organization trusts no such issuer."""


class IssuerExists(Conflict):
    """The organization trusts this issuer already."""


class TooManyIssuers(Conflict):
    """The organization trusts as many issuers as it may."""


class IssuerNotRestricted(Invalid):
    """Without an audience or an authorized party every token of the issuer would do, whomever it is for."""


class OwnershipNotMapped(Invalid):
    """Nobody becomes an owner by what a foreign token says."""


class InsecureIssuer(Invalid):
    """An issuer and its keys are reached over https."""


def register(
    existing: Sequence[Issuer],
    command: RegisterIssuer,
    issuer: str,
    permissions: Mapping[str, Sequence[str]],
    caller: Caller,
    insecure: bool,
) -> tuple[Issuer, list[Event]]:
    """`permissions` are those of each role that the settings name; `insecure` allows http."""
    if len(existing) >= MOST_ISSUERS:
        raise TooManyIssuers(f"{MOST_ISSUERS} at most")
    _check(existing, issuer, command.settings, permissions, caller, command.org, insecure)
    made = Issuer(id=issuer, name=command.name, settings=command.settings, revision=1)
    return made, [_told(command.org, made)]


def update(
    issuer: Issuer | None,
    existing: Sequence[Issuer],
    command: UpdateIssuer,
    permissions: Mapping[str, Sequence[str]],
    caller: Caller,
    insecure: bool,
) -> tuple[Issuer, list[Event]]:
    issuer = known(issuer, command.issuer)
    if command.if_revision is not None and command.if_revision != issuer.revision:
        raise StaleRevision(f"the newest revision is {issuer.revision}")
    settings = command.settings or issuer.settings
    _check(existing, issuer.id, settings, permissions, caller, command.org, insecure)
    changed = Issuer(
        id=issuer.id,
        name=issuer.name if command.name is None else command.name,
        settings=settings,
        revision=issuer.revision + 1,
    )
    return changed, [_told(command.org, changed)]


def remove(issuer: Issuer | None, organization: str, name: str) -> tuple[Issuer, list[Event]]:
    issuer = known(issuer, name)
    return issuer, [IssuerRemoved(org=organization, issuer=issuer.id, name=issuer.name)]


def known(issuer: Issuer | None, name: str) -> Issuer:
    if issuer is None:
        raise IssuerNotFound(f"no issuer {name}")
    return issuer


def named_roles(settings: IssuerSettings | None) -> set[str]:
    """The roles that tokens can give."""
    return {*settings.roles.values(), settings.default_role} if settings else set()


def _check(
    existing: Sequence[Issuer],
    issuer: str,
    settings: IssuerSettings,
    permissions: Mapping[str, Sequence[str]],
    caller: Caller,
    organization: str,
    insecure: bool,
) -> None:
    if any(one.settings.issuer == settings.issuer and one.id != issuer for one in existing):
        raise IssuerExists(f"{settings.issuer} is trusted already")
    if not settings.audiences and not settings.authorized_parties:
        raise IssuerNotRestricted("name an audience or an authorized party")
    addresses = [settings.issuer, *([settings.jwks_uri] if settings.jwks_uri else [])]
    if not insecure and not all(address.startswith("https://") for address in addresses):
        raise InsecureIssuer("use https")
    if OWNER in named_roles(settings):
        raise OwnershipNotMapped("owners are made by owners")
    for role in sorted(named_roles(settings)):
        # Whoever runs the issuer can say that somebody has it: the caller gives it away here.
        check_grant(caller, permissions[role], organization)


def _told(organization: str, issuer: Issuer) -> Event:
    return IssuerSet(
        org=organization,
        issuer=issuer.id,
        name=issuer.name,
        revision=issuer.revision,
        settings=issuer.settings.model_dump(mode="json"),
    )
