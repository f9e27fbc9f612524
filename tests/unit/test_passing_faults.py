"""Which refusals are kept under their key: those that decide something, not those of a passing fault."""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest

from libs.contracts.base import Caller
from libs.contracts.registry import App, CreateApp
from libs.errors import Problem, Refusal, Refused, TooMany
from libs.permissions import Grant
from libs.service.commands import CommandEdge
from libs.service.request import Request
from libs.store.commit import Commit, RecordedReply
from libs.store.database import Database
from libs.store.journal import Journal
from services.registry.apps.domain import AppExists


class AnyJournal:
    """Keeps what is committed; has nothing recorded."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []

    async def recorded(self, request: str) -> RecordedReply | None:
        return None

    async def commit(self, commit: Commit) -> None:
        self.commits.append(commit)


class AnyDatabase:
    def tenant(self, org: str) -> None:
        return None


COMMAND = CreateApp(org="org_1", slug="orders", name="Orders", kind="remote")
OWNER = Caller(subject="usr_1", grants=(Grant("owner", "org_1"),))
ELSEWHERE = Problem(title="Database unavailable", status=503, code="database_unavailable", retry_after=1)


@pytest.mark.parametrize(
    ("refusal", "kept"),
    [(AppExists("orders"), 1), (Refused(ELSEWHERE), 0), (TooMany("wait"), 0)],
    ids=["it is refused", "a service that it asked could not answer", "whoever asks has to wait"],
)
async def test_only_a_refusal_that_decides_something_is_the_answer_to_keep(
    refusal: Refusal, kept: int
) -> None:
    async def create_app(command: CreateApp, request: Request) -> App:
        raise refusal

    journal: Any = AnyJournal()
    edge = CommandEdge("registry", cast(Database, AnyDatabase()), cast(Journal, journal), create_app)
    answer = orjson.loads(await edge(COMMAND.model_dump_json().encode(), OWNER, "key_1", True))
    assert answer["problem"]["status"] == refusal.problem().status
    assert len(journal.commits) == kept
