"""What tokens of foreign issuers say, read from the claims of each shape. Pure; signatures are `verifier`'s.

Clerk, Auth0 and plain OpenID Connect write the same things in different places. Here they become one value,
and what is missing or odd becomes a refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from libs.contracts.identity import IssuerSettings
from libs.errors import Unauthenticated

Payload = Mapping[str, Any]
# An access or ID token that lives longer was made by mistake, and could not be taken back.
MAX_LIFETIME_S = 24 * 3600
MAX_SUBJECT_CHARACTERS = 255


class ForeignTokenInvalid(Unauthenticated):
    """The token is of an issuer that is trusted here, but it is not good; `detail` says why."""


@dataclass(frozen=True)
class Said:
    """What a token says about whom. `external` are its roles, permissions and groups, as the issuer names
    them."""

    subject: str
    expires_at: float
    external: frozenset[str]
    external_org: str | None
    email: str
    email_verified: bool
    name: str


def read(payload: Payload, settings: IssuerSettings, now: float) -> Said:
    """Raises ForeignTokenInvalid."""
    _check_times(payload, settings.skew_s, now)
    _check_audience(payload, settings)
    subject = payload.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARACTERS:
        raise ForeignTokenInvalid("sub")
    if _is_machine(payload, subject) and not settings.machines:
        raise ForeignTokenInvalid("no person asked for it")
    match settings.kind:
        case "clerk":
            external, external_org = _clerk(payload)
        case "auth0":
            external, external_org = _auth0(payload)
        case _:
            external, external_org = _openid(payload)
    if settings.external_org is not None and external_org != settings.external_org:
        raise ForeignTokenInvalid("of another organization of the issuer")
    return Said(
        subject=subject,
        expires_at=float(payload["exp"]),
        external=frozenset(external),
        external_org=external_org,
        email=_text(payload.get("email")),
        email_verified=payload.get("email_verified") is True,
        name=_text(payload.get("name")),
    )


def _check_times(payload: Payload, skew: float, now: float) -> None:
    expires, issued, begins = (_time(payload, name) for name in ("exp", "iat", "nbf"))
    if expires is None:
        raise ForeignTokenInvalid("exp")
    if expires <= now - skew:
        raise ForeignTokenInvalid("expired")
    if begins is not None and begins > now + skew:
        raise ForeignTokenInvalid("not valid yet")
    if issued is not None and issued > now + skew:
        raise ForeignTokenInvalid("issued in the future")
    if expires - (issued if issued is not None else now) > MAX_LIFETIME_S:
        raise ForeignTokenInvalid("lives too long")


def _time(payload: Payload, name: str) -> float | None:
    value = payload.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**40:
        raise ForeignTokenInvalid(name)
    return float(value)


def _check_audience(payload: Payload, settings: IssuerSettings) -> None:
    if settings.audiences and not set(_texts(payload.get("aud"))) & set(settings.audiences):
        raise ForeignTokenInvalid("aud")
    # An RFC 9068 token names its client, and no party.
    party = payload.get("azp", payload.get("client_id") if settings.kind != "clerk" else None)
    if settings.authorized_parties and party not in settings.authorized_parties:
        raise ForeignTokenInvalid("azp")


def _is_machine(payload: Payload, subject: str) -> bool:
    return payload.get("gty") == "client-credentials" or subject.endswith("@clients")


def _clerk(payload: Payload) -> tuple[Iterable[str], str | None]:
    """Session tokens, version 2 (`o`) and version 1 (`org_…`)."""
    if payload.get("sts") == "pending":
        raise ForeignTokenInvalid("the session is pending")
    if payload.get("v") == 2:
        org = payload.get("o")
        if not isinstance(org, dict):
            return (), None
        roles = {f"org:{_text(org['rol'])}"} if _text(org.get("rol")) else set()
        return roles | _clerk_permissions(_text(payload.get("fea")), org), _text(org.get("id")) or None
    roles = {_text(payload.get("org_role"))} - {""}
    return {*roles, *_texts(payload.get("org_permissions"))}, _text(payload.get("org_id")) or None


def _clerk_permissions(features: str, org: Payload) -> set[str]:
    """Integer i of `fpm` belongs to the i-th feature of the organization; its bit j, the lowest first, is the
    j-th permission. Features of the user alone (`u:`) have no integer."""
    scoped = [feature.split(":", 1) for feature in features.split(",") if ":" in feature]
    names = [name for scope, name in scoped if "o" in scope]
    permissions = _text(org.get("per")).split(",")
    masks = _text(org.get("fpm")).split(",")
    found = set()
    for name, mask in zip(names, masks, strict=False):
        if not mask.isdecimal() or len(mask) > 18:
            continue
        for bit, permission in enumerate(permissions):
            if permission and int(mask) >> bit & 1:
                found.add(f"org:{name}:{permission}")
    return found


def _auth0(payload: Payload) -> tuple[Iterable[str], str | None]:
    """Both profiles: they differ in their header and in what names the client."""
    scope = _text(payload.get("scope")).split()
    return {*_texts(payload.get("permissions")), *scope}, _text(payload.get("org_id")) or None


def _openid(payload: Payload) -> tuple[Iterable[str], str | None]:
    """Where providers put them: `groups`, `roles`, `permissions`, `scope`, and Keycloak's realm roles."""
    realm = payload.get("realm_access")
    roles = _texts(realm.get("roles")) if isinstance(realm, dict) else []
    named = [one for name in ("groups", "roles", "permissions") for one in _texts(payload.get(name))]
    scope = _text(payload.get("scope")).split()
    return {*named, *roles, *scope}, _text(payload.get("org_id")) or None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
