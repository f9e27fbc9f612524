"""Who may ask for which decision, and in which organization a question is meant."""

from __future__ import annotations

from dataclasses import replace

from gateway.authzen.decisions import DEPTHS, Organization, in_our_words
from gateway.authzen.questions import Entity
from gateway.door import ORGANIZATION, Door
from libs.contracts.base import Page
from libs.contracts.identity import GetVocabulary, ListMembers, Member, Vocabulary
from libs.errors import Forbidden
from libs.permissions import EVERYTHING, Visible, allows, visible_part


class DecisionNotYours(Forbidden):
    """About others only those are told who hold `assignment:read` on the resource in question."""


class Asking:
    """One caller's questions. Organizations are found once for all of them."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._found: dict[str, Organization | None] = {}

    async def organization(self, subject: Entity | None, resource: Entity | None) -> Organization | None:
        """Named by the resource's id, by the header `Mes-Org`, or by a token that counts in one alone.

        A question in the portal's own words is answered from memory. Other words need the vocabulary, and
        addresses the list of members: answers that are kept here until an event makes them stale."""
        slug = self._slug(resource)
        if slug is None:
            return None
        if slug not in self._found:
            self._found[slug] = await self._find(slug)
        found = self._found[slug]
        if found is None:
            return None
        ours = subject and resource and in_our_words(subject) and resource.type in DEPTHS
        if not ours and found.vocabulary is None:
            answer = await self._door.answer(GetVocabulary(org=found.access.id), self._door.after())
            found = replace(found, vocabulary=Vocabulary.model_validate_json(answer.body))
        if subject and subject.type == "user" and "@" in subject.id and found.emails is None:
            found = replace(found, emails=await self._emails(found))
        self._found[slug] = found
        return found

    def _slug(self, resource: Entity | None) -> str | None:
        if resource and resource.type in DEPTHS:
            return resource.id.split("/")[0]
        named = self._door.request.headers.get(ORGANIZATION)
        claims = self._door.claims
        if named is None and claims and claims.org:
            return self._door.portal.directory.slug(claims.org)
        return named

    async def _find(self, slug: str) -> Organization | None:
        portal = self._door.portal
        # The change that the question is about may be part of what the client has seen.
        await portal.engine.reach(seen for seen in self._door.after() if seen.service == "identity")
        org = portal.directory.org_id(slug)
        access = portal.directory.access(org) if org else None
        own = portal.directory.grants(self._door.claims, org) if org else ()
        if access is None or not own:
            # To those who do not belong to it, it is not there.
            return None
        return Organization(slug, access, with_token={self._door.user: own})

    async def _emails(self, organization: Organization) -> dict[str, str]:
        found: dict[str, str] = {}
        cursor: str | None = None
        while True:
            query = ListMembers(org=organization.access.id, cursor=cursor, limit=200)
            page = Page[Member].model_validate_json((await self._door.answer(query, self._door.after())).body)
            found |= {member.email.lower(): member.user for member in page.items}
            cursor = page.next
            if cursor is None:
                return found

    def visible(self, organization: Organization, subject: str | None) -> Visible:
        """The applications that a search may name. Of their own callers get those that they hold anyhow."""
        if subject == self._door.user:
            return EVERYTHING
        return visible_part(organization.grants(self._door.user), "app:read", organization.access.id)

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
