"""One command on its way through a service: who asks, which organization, and the commit at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel

from libs.contracts.base import Caller, Event
from libs.store.commit import Author, Commit, encode_reply
from libs.store.database import Change, Scope
from libs.store.journal import Journal

Reply = TypeVar("Reply", bound=BaseModel | None)


@dataclass
class Request:
    """What a handler gets beside its command. `now` is the one clock of the whole request."""

    id: str
    caller: Caller
    org: str
    fingerprint: str
    now: datetime
    scope: Scope
    journal: Journal
    # The sequences that the commit reached, for the answer.
    reached: dict[str, int] = field(default_factory=dict)
    causation: str | None = None

    async def commit(
        self,
        changes: Sequence[Change],
        events: Sequence[Event],
        reply: Reply,
        recorded: BaseModel | None = None,
    ) -> Reply:
        """Saves state, events and the answer together. `recorded` replaces the answer in the record where
        the answer holds a secret; the handler then derives the secret again for a repeated request."""
        commit = Commit(
            org=self.org,
            changes=changes,
            events=events,
            author=self.author(),
            request=self.id,
            fingerprint=self.fingerprint,
            reply=encode_reply(recorded if recorded is not None else reply),
            now=self.now,
        )
        await self.journal.commit(commit)
        self.reached = commit.reached
        return reply

    def author(self) -> Author:
        return Author(
            subject=self.caller.subject,
            name=self.caller.name,
            address=self.caller.address,
            agent=self.caller.agent,
            session=self.caller.session,
            request=self.id,
            causation=self.causation,
        )
