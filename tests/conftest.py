"""The running portal that tests of the gateway and of the whole system share: real broker, real database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from deploy.local import LocalPortal

# On a busy machine an example may take any time; what is asserted is never how long.
settings.register_profile("portal", deadline=None)
settings.load_profile("portal")

# Cheap on purpose: these tests are about everything but the cost of a password hash.
FAST = {"MES_ARGON2_MEMORY_KIB": "1024", "MES_ARGON2_PASSES": "1", "MES_ALLOW_LOOPBACK_ISSUERS": "true"}

# So that a test changes the signing key when it likes.
FAST["MES_KEY_PUBLISHED_FIRST"] = "PT0S"


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPortal]:
    """Two gateways and two registries, because nothing may rest on being alone."""
    data = tmp_path_factory.mktemp("portal")
    with LocalPortal(data, port=0, replicas={"gateway": 2, "registry": 2}, demo=False, env=FAST) as running:
        yield running
