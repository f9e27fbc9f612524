"""Every query on vocabularies."""

from __future__ import annotations

from libs.contracts.identity import Vocabulary
from libs.store.database import Documents, Scope

VOCABULARIES = Documents(
    "vocabularies",
    Vocabulary,
    key=lambda _: "vocabulary",
    # Words are chosen by users.
    opaque=frozenset({"meanings", "resources", "subjects", "properties"}),
)


async def vocabulary(scope: Scope) -> Vocabulary:
    return await scope.get(VOCABULARIES, "vocabulary") or Vocabulary()
