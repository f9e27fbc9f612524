"""Who may ask for which decision, and in which organization a question is meant."""

from __future__ import annotations

from gateway.authzen.decisions import DEPTHS, Organization
from gateway.authzen.questions import Entity
from gateway.door import Door
from libs.contracts.identity import GetVocabulary, Vocabulary
from libs.errors import Forbidden
from libs.permissions import allows

ORGANIZATION = "mes-org"


class DecisionNotYours(Forbidden):
    """About others only those are told who hold `assignment:read` on the resource in question."""


class Asking:
    """One caller's questions. Organizations are found once for all of them."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._found: dict[str, Organization | None] = {}

    async def organization(self, resource: Entity | None) -> Organization | None:
        """Named by the resource's id, by the header `Mes-Org`, or by a token that counts in one alone."""
        directory = self._door.portal.directory
        slug = self._door.request.headers.get(ORGANIZATION)
        claims = self._door.claims
        if slug is None and claims and claims.org:
            slug = directory.slug(claims.org)
        if resource and resource.type in DEPTHS:
            slug = resource.id.split("/")[0]
        if slug is None:
            return None
        if slug not in self._found:
            self._found[slug] = await self._find(slug)
        return self._found[slug]

    async def _find(self, slug: str) -> Organization | None:
        portal = self._door.portal
        org = portal.directory.org_id(slug)
        access = portal.directory.access(org) if org else None
        if org is None or access is None or not portal.directory.grants(self._door.claims, org):
            # To those who do not belong to it, it is not there.
            return None
        answer = await self._door.answer(GetVocabulary(org=org))
        return Organization(slug, access, Vocabulary.model_validate_json(answer.body))

    def check(self, organization: Organization | None, subject: str | None, resource: str | None) -> None:
        """Raises DecisionNotYours. Of what is not there nobody learns more than of what is not theirs."""
        claims = self._door.claims
        if organization is None or claims is None:
            raise DecisionNotYours("no such organization, or not yours")
        if subject == claims.subject:
            return
        grants = self._door.portal.directory.grants(claims, organization.access.id)
        if not allows(grants, "assignment:read", resource or organization.access.id):
            raise DecisionNotYours("assignment:read is needed to ask about others")
