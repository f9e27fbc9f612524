"""Identity as two processes, and people who use it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from pydantic import SecretStr

from deploy.local import LocalParts
from libs.bus.rpc import Answered, Asker
from libs.contracts.base import Caller
from libs.contracts.identity import (
    CreateOrganization,
    ListDirectory,
    OpenSession,
    Organization,
    RegisterUser,
    Tokens,
    User,
)
from libs.permissions import Grant
from tests.services.conftest import Running

PASSWORD = "a horse on a battery"
ADMIN = {"MES_ADMIN_EMAIL": "Admin@example.com", "MES_ADMIN_PASSWORD": "the operator's own phrase"}
QUICK = {"MES_ARGON2_MEMORY_KIB": "64", "MES_ARGON2_PASSES": "1"}
NOBODY = Caller(subject="anonymous", address="192.0.2.7")


@dataclass
class Person:
    """A registered user at the gateway's side of the bus."""

    asker: Asker
    user: User

    async def caller(self) -> Caller:
        """With the grants that a gateway would send: from the directory as it is now."""
        grants: list[Grant] = []
        cursor: str | None = None
        while True:
            page = await self.asker.query(ListDirectory(cursor=cursor), NOBODY)
            grants += [
                Grant(entry.members[self.user.id], entry.org)
                for entry in page.entries
                if self.user.id in entry.members
            ]
            if (cursor := page.next) is None:
                return Caller(subject=self.user.id, name=self.user.email, grants=tuple(grants))

    async def signs_in(self, request: str | None = None) -> Answered[Tokens]:
        command = OpenSession(email=self.user.email, password=SecretStr(PASSWORD))
        return await self.asker.ask(command, NOBODY, request, repeatable=request is not None)

    async def creates(self, slug: str = "", request: str | None = None) -> Organization:
        command = CreateOrganization(slug=slug or a_slug(), name="Acme")
        answered = await self.asker.ask(command, await self.caller(), request, request is not None)
        return answered.value


def a_slug() -> str:
    return f"acme-{secrets.token_hex(6)}"


def an_email() -> str:
    return f"ada-{secrets.token_hex(6)}@example.com"


@pytest.fixture(scope="package")
def identity(parts: LocalParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    """Two replicas that start at once, on an empty database."""
    folder = tmp_path_factory.mktemp("identity")
    more = {
        "MES_MAIL_FOLDER": str(folder / "mail"),
        "MES_PUBLIC_URL": "https://portal.example.com",
        # So that a test may change the key when it likes.
        "MES_KEY_PUBLISHED_FIRST": "PT0S",
        "MES_WRONG_SIGN_INS_BY_ACCOUNT": "12",
    }
    replicas = [
        Running(parts, "identity", folder, {**ADMIN, **QUICK, **more}, process)
        for process in ("identity", "identity-2")
    ]
    try:
        for replica in replicas:
            replica.begin()
        for replica in replicas:
            replica.wait_ready()
        yield replicas
    finally:
        for replica in replicas:
            replica.stop()


@pytest_asyncio.fixture(scope="package")
async def asker(parts: LocalParts, identity: list[Running]) -> AsyncIterator[Asker]:
    asking = Asker(parts.amqp_url("gateway"), "gateway")
    await asking.start()
    await asking.opened(10)
    yield asking
    await asking.stop()


async def registered(asker: Asker, email: str = "") -> Person:
    command = RegisterUser(email=email or an_email(), name="Ada", password=SecretStr(PASSWORD))
    user = (await asker.ask(command, NOBODY)).value
    assert user
    return Person(asker, user)


@pytest_asyncio.fixture
async def ada(asker: Asker) -> Person:
    return await registered(asker)


@pytest_asyncio.fixture
async def eve(asker: Asker) -> Person:
    return await registered(asker)
