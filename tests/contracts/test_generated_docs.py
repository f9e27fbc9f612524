"""The generated documents say what the code says."""

from __future__ import annotations

import pytest

from deploy.docs import FOLDER, documents

FRESH = documents()


@pytest.mark.parametrize("name", sorted(FRESH))
def test_generated_documents_are_fresh(name: str) -> None:
    assert (FOLDER / name).read_text() == FRESH[name], "run `make docs` and commit what it wrote"


def test_nothing_else_lies_among_them() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(FRESH)
