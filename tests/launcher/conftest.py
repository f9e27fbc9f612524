"""One broker and database for all tests of the launcher that look at a running pair."""

from collections.abc import Iterator

import pytest

from deploy.local import LocalParts


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalParts]:
    with LocalParts(tmp_path_factory.mktemp("parts")) as started:
        yield started
