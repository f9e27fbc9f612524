"""How much work a password takes: the same for every address, and more when more is thought enough."""

from __future__ import annotations

import asyncio
import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from libs.contracts.identity import RegisterUser
from services.identity.sessions.domain import SignInRefused
from services.identity.sessions.proof import Prover
from services.identity.users import store
from services.identity.users.domain import Account, EmailTaken
from services.identity.users.handlers import Users
from services.identity.users.passwords import Passwords
from tests.domain.identity.builders import NOW, an_account

PASSWORD = SecretStr("a horse on a battery")


class Generous:
    """Counts nothing."""

    def one_at_a_time(self, email: str) -> asyncio.Lock:
        return asyncio.Lock()

    async def spend(self, *_: object) -> None: ...

    async def admit(self, *_: object) -> None: ...

    async def wrong(self, *_: object) -> None: ...

    async def right(self, *_: object) -> list[Any]:
        return []


class Post:
    """Queues a letter for everybody."""

    def letter(self, *_: object) -> tuple[list[Any], list[Any]]:
        return [SimpleNamespace(documents=SimpleNamespace(name="letters"))], []

    def wake(self) -> None: ...


class Asking(SimpleNamespace):
    """A request that remembers how often it was saved."""

    async def commit(self, changes: list[Any], events: list[Any], reply: Any) -> Any:
        self.saved += 1
        return reply


def a_request() -> Any:
    caller = SimpleNamespace(subject="usr_somebody", address="192.0.2.7")
    return Asking(scope=None, caller=caller, now=NOW, saved=0)


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(memory_kib=64, passes=1, lanes=1)


def there_is(account: Account | None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def by_email(*_: object) -> Account | None:
        return account

    monkeypatch.setattr(store, "by_email", by_email)


async def test_a_refused_sign_in_hashes_once_whether_there_is_an_account_or_not(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = an_account().model_copy(update={"password_hash": await passwords.hash("another password")})
    prover = Prover(passwords, Generous(), None, False)  # type: ignore[arg-type]  # only counts
    work = []
    for account in (known, None):
        there_is(account, monkeypatch)
        before = passwords.hashes
        with pytest.raises(SignInRefused):
            await prover.password(a_request(), "ada@example.com", PASSWORD)
        work.append(passwords.hashes - before)
    assert work == [1, 1]


@pytest.mark.parametrize("quietly", [True, False])
async def test_a_registration_hashes_once_whether_there_is_an_account_or_not(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch, quietly: bool
) -> None:
    users = Users(passwords, Generous(), Post(), quietly)  # type: ignore[arg-type]  # only counts
    command = RegisterUser(email="ada@example.com", name="Ada", password=PASSWORD)
    verified = an_account().model_copy(update={"email_verified": True})
    work = []
    for account in (None, an_account(), verified):
        there_is(account, monkeypatch)
        before, request = passwords.hashes, a_request()
        if account and not quietly:
            with pytest.raises(EmailTaken):
                await users.register_user(command, request)
        else:
            answer = await users.register_user(command, request)
            assert (answer is None) == quietly
            assert request.saved == 1
        work.append(passwords.hashes - before)
    assert work == [1, 1, 1]


async def test_a_password_is_the_same_however_its_signs_were_put_together(passwords: Passwords) -> None:
    composed = "sch\u00f6ne gr\u00fc\u00dfe aus k\u00f6ln"
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    assert await passwords.fits(decomposed, await passwords.hash(composed))


async def test_a_hash_made_under_weaker_parameters_is_outdated(passwords: Passwords) -> None:
    weak = await passwords.hash("a horse on a battery")
    stronger = Passwords(memory_kib=128, passes=2, lanes=1)
    assert stronger.is_outdated(weak)
    assert await stronger.fits("a horse on a battery", weak)
    assert not stronger.is_outdated(await stronger.hash("a horse on a battery"))


class NoSecondFactor:
    async def prove(self, *_: object) -> tuple[tuple[str, ...], list[Any], list[Any]]:
        return (), [], []


async def test_a_sign_in_makes_an_outdated_hash_anew_and_leaves_another_alone(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    stronger = Passwords(memory_kib=128, passes=2, lanes=1)
    prover = Prover(stronger, Generous(), NoSecondFactor(), False)  # type: ignore[arg-type]  # only counts
    for made_by, changes in ((passwords, 1), (stronger, 0)):
        there_is(
            an_account().model_copy(
                update={"password_hash": await made_by.hash(PASSWORD.get_secret_value())}
            ),
            monkeypatch,
        )
        proved = await prover.prove(a_request(), "Ada@example.com", PASSWORD)
        assert len(proved.changes) == changes
        for change in proved.changes:
            assert isinstance(change.state, Account)
            assert not stronger.is_outdated(change.state.password_hash)
            assert change.expected == proved.account.revision
