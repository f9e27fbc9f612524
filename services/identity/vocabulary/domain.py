"""Rules of an organization's vocabulary for decisions. No I/O.

It gives nobody anything: it says what a question means, and the answer rests on what the subject holds.
"""

from __future__ import annotations

from libs.contracts.base import Event
from libs.contracts.identity import SetVocabulary, Vocabulary, VocabularySet
from libs.errors import Invalid, StaleRevision, TooLarge
from libs.permissions import ORGANIZATION_PERMISSIONS

MOST_CHARACTERS = 200_000
# The portal's own types, whose ids and actions mean what they always mean.
OWN_TYPES = frozenset({"organization", "application", "environment"})


class MeaningUnknown(Invalid):
    """A meaning names a permission that there is not, or a type of resource that the vocabulary lacks."""


class OwnTypeRedefined(Invalid):
    """The portal's own types of resources mean what they always mean."""


class VocabularyTooLarge(TooLarge):
    """The vocabulary is larger than 200,000 characters."""


def set_to(present: Vocabulary, command: SetVocabulary) -> tuple[Vocabulary, list[Event]]:
    if command.if_revision is not None and command.if_revision != present.revision:
        raise StaleRevision(f"the newest revision is {present.revision}")
    own = OWN_TYPES & command.resources.keys()
    if own:
        raise OwnTypeRedefined(", ".join(sorted(own)))
    for meaning in command.meanings:
        if meaning.resource not in command.resources:
            raise MeaningUnknown(f"no type {meaning.resource}")
        if meaning.permission not in (None, *ORGANIZATION_PERMISSIONS):
            raise MeaningUnknown(f"no permission {meaning.permission}")
    changed = Vocabulary(
        meanings=command.meanings,
        resources=command.resources,
        subjects=command.subjects,
        properties=command.properties,
        revision=present.revision + 1,
    )
    if len(changed.model_dump_json()) > MOST_CHARACTERS:
        raise VocabularyTooLarge(f"{MOST_CHARACTERS} characters at most")
    return changed, [VocabularySet(org=command.org, revision=changed.revision)]
