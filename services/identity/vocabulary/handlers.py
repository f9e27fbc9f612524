"""The bus edge of vocabularies: load, decide, save."""

from __future__ import annotations

from libs.contracts.identity import GetVocabulary, SetVocabulary, Vocabulary
from libs.service.request import Request
from libs.store.database import Scope
from services.identity.vocabulary import domain, store


async def set_vocabulary(command: SetVocabulary, request: Request) -> Vocabulary:
    changed, events = domain.set_to(await store.vocabulary(request.scope), command)
    return await request.commit([store.VOCABULARIES.put(changed)], events, reply=changed)


async def get_vocabulary(query: GetVocabulary, scope: Scope) -> Vocabulary:
    return await store.vocabulary(scope)
