"""Tokens of issuers that organizations trust: found by `iss`, verified with the issuer's keys, mapped.

From memory but for keys that nobody has seen and people whom nobody knows. What is not in the settings of
the organization's issuer counts for nothing: neither keys that a header brings along nor roles that are not
mapped.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from gateway.access import OrganizationAccess
from gateway.claims import Claims
from gateway.directory import Directory
from gateway.foreign.shapes import ForeignTokenInvalid, Said, read
from libs.bus.rpc import Asker
from libs.contracts.base import service_caller
from libs.contracts.envelope import Position
from libs.contracts.identity import AdmitForeignUser, IssuerSettings, KnownIssuer
from libs.errors import BadRequest, Forbidden, Refusal, Unavailable
from libs.jwks import KeySets, KeysUnknown, algorithms_of

MAX_CACHED = 20_000
MAX_PAYLOAD_CHARACTERS = 16_384
# Kinds of tokens that say who somebody is. A header without a kind is an older issuer's.
KINDS = {"jwt", "at+jwt", "application/at+jwt", ""}
# The same bytes, signed with the same key, mean the same in both names.
_SAME = {"EdDSA": "Ed25519"}


class IssuerAmbiguous(BadRequest):
    """Several organizations trust this issuer: name the one that is meant, by the header `Mes-Org` or, on a
    live connection, by `org` in its first frame."""


class ForeignUserUnknown(Forbidden):
    """The token is good, but its user is no member, and the organization lets nobody join by a token."""


class IssuerUnreachable(Unavailable):
    """The issuer's keys could not be had; try again."""


@dataclass(frozen=True)
class _Verified:
    """What was found out about a token, and under which settings and keys."""

    said: Said
    org: str
    issuer: str
    revision: int
    edition: int


class ForeignVerifier:
    """`reach` waits until the directory has heard of versions that a command reached."""

    def __init__(
        self,
        asker: Asker,
        directory: Directory,
        keys: KeySets,
        reach: Callable[[Iterable[Position]], Awaitable[None]],
    ) -> None:
        self._asker = asker
        self._directory = directory
        self._keys = keys
        self._reach = reach
        self._verified: OrderedDict[tuple[str, str], _Verified] = OrderedDict()
        self._admitting: dict[tuple[str, str], asyncio.Task[str]] = {}

    def is_foreign(self, token: str, own: str) -> bool:
        """True if an organization trusts the issuer that the token names, and that is not our `own`; nothing
        is believed yet."""
        try:
            issuer = _part(token, 1).get("iss")
        except ForeignTokenInvalid:
            return False
        return isinstance(issuer, str) and issuer != own and bool(self._directory.trusting(issuer))

    async def verify(self, token: str, org: str | None, asked: bool = False) -> Claims:
        """Raises a Refusal. `org` is the organization of the request, if it has one; `asked` says that the
        client itself named it and means no other."""
        header, payload = _part(token, 0), _part(token, 1)
        access, name, known = self._trusted_by(str(payload.get("iss", "")), org, asked)
        remembered = self._verified.get((token, access.id))
        if remembered is None or not self._holds(remembered, known):
            remembered = await self._verify(token, header, payload, access, name, known)
            self._verified[token, access.id] = remembered
            if len(self._verified) > MAX_CACHED:
                self._verified.popitem(last=False)
        said = remembered.said
        if said.expires_at <= time.time() - known.settings.skew_s:
            self._verified.pop((token, access.id), None)
            raise ForeignTokenInvalid("expired")
        user = await self._user(access, name, known.settings, said)
        mapped = {role for one, role in known.settings.roles.items() if one in said.external}
        return Claims(
            subject=user,
            # As long as the clocks of the two may differ.
            expires_at=said.expires_at + known.settings.skew_s,
            email=said.email,
            name=said.name or said.subject,
            needs=frozenset({name}),
            org=access.id,
            roles=tuple(sorted(mapped)),
            told_of_its_end=False,
        )

    def _trusted_by(
        self, issuer: str, org: str | None, asked: bool
    ) -> tuple[OrganizationAccess, str, KnownIssuer]:
        trusting = self._directory.trusting(issuer)
        own = [one for one in trusting if one[0].id == org]
        if own:
            return own[0]
        if asked or not trusting:
            raise ForeignTokenInvalid("of an issuer that is not trusted here")
        if len(trusting) > 1 and org is None:
            raise IssuerAmbiguous("name the organization")
        # A request to another organization than the token's: it is genuine, and opens nothing there.
        return trusting[0]

    def _holds(self, verified: _Verified, known: KnownIssuer) -> bool:
        settings = known.settings
        return (
            verified.revision == known.revision
            and verified.edition == self._keys.edition(settings.issuer, settings.jwks_uri)
            and self._keys.is_fresh(settings.issuer, settings.jwks_uri)
        )

    async def _verify(
        self,
        token: str,
        header: dict[str, Any],
        payload: dict[str, Any],
        access: OrganizationAccess,
        name: str,
        known: KnownIssuer,
    ) -> _Verified:
        settings = known.settings
        edition = await self._check_signature(token, header, settings)
        said = read(payload, settings, time.time())
        return _Verified(said, access.id, name, known.revision, edition)

    async def _check_signature(self, token: str, header: dict[str, Any], settings: IssuerSettings) -> int:
        """Only `alg`, `kid` and `typ` of the header are looked at; `jwk`, `jku` and the like are not."""
        kind = header.get("typ", "")
        if not isinstance(kind, str) or kind.lower() not in KINDS:
            raise ForeignTokenInvalid("typ")
        if "crit" in header or header.get("b64") is False:
            raise ForeignTokenInvalid("crit")
        algorithm, kid = header.get("alg"), header.get("kid")
        pinned = {_SAME.get(one, one) for one in settings.algorithms}
        if not isinstance(algorithm, str) or _SAME.get(algorithm, algorithm) not in pinned:
            raise ForeignTokenInvalid("alg")
        if not isinstance(kid, str) or not kid:
            raise ForeignTokenInvalid("kid")
        try:
            key, edition = await self._keys.key(settings.issuer, settings.jwks_uri, kid)
        except KeysUnknown:
            raise IssuerUnreachable("the issuer's keys could not be had") from None
        if key is None:
            raise ForeignTokenInvalid("unknown key")
        if algorithm not in algorithms_of(key):
            raise ForeignTokenInvalid("alg")
        try:
            # Header fields that the standards do not know are the issuer's own business.
            registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
            jws.deserialize_compact(token, key, registry=registry)
        except (JoseError, ValueError, TypeError):
            raise ForeignTokenInvalid("signature") from None
        return edition

    async def _user(
        self, access: OrganizationAccess, issuer: str, settings: IssuerSettings, said: Said
    ) -> str:
        """Whom the token speaks for. Somebody new is admitted once, however many of their requests wait."""
        link = f"{issuer}|{said.subject}"
        known = access.links.get(link)
        if known:
            return known
        if not settings.joining and not said.email_verified:
            raise ForeignUserUnknown("ask to be provisioned")
        waiting = self._admitting.get((access.id, link))
        if waiting is None:
            waiting = asyncio.create_task(self._admit(access.id, issuer, said))
            self._admitting[access.id, link] = waiting
            waiting.add_done_callback(lambda _: self._admitting.pop((access.id, link), None))
        try:
            return await asyncio.shield(waiting)
        except Refusal as refusal:
            if refusal.problem().status == 403:
                raise ForeignUserUnknown("ask to be provisioned") from None
            raise

    async def _admit(self, org: str, issuer: str, said: Said) -> str:
        command = AdmitForeignUser(
            org=org,
            issuer=issuer,
            subject=said.subject,
            email=said.email[:320] or None,
            email_verified=said.email_verified,
            name=said.name[:200],
        )
        answered = await self._asker.ask(command, service_caller("gateway"))
        await self._reach(answered.reached)
        return answered.value.id


def _part(token: str, index: int) -> dict[str, Any]:
    """A part of a token as it is written, not yet believed. A name that is there twice is refused: readers
    differ in which of the two they take."""
    parts = token.split(".")
    if len(parts) != 3 or len(parts[1]) > MAX_PAYLOAD_CHARACTERS:
        raise ForeignTokenInvalid("malformed")
    try:
        text = base64.urlsafe_b64decode(parts[index] + "=" * (-len(parts[index]) % 4))
        found = json.loads(text, object_pairs_hook=_once)
    except (binascii.Error, ValueError, RecursionError):
        raise ForeignTokenInvalid("malformed") from None
    if not isinstance(found, dict):
        raise ForeignTokenInvalid("malformed")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found
