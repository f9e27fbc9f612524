"""Answers of named queries: one for all who may share it, computed once, known to be fresh or not.

An answer was read at a sequence of its stream. An event that names one of its topics and has a higher
sequence makes it stale; nothing else does. Topics are matched by equality in a dictionary, so an event
costs nothing for answers that it does not concern.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from libs.contracts.base import Query
from libs.contracts.common import NamedQuery
from libs.contracts.envelope import Fact, Stream
from libs.errors import Problem

if TYPE_CHECKING:
    from libs.live.subscriber import Subscriber

# Unwatched answers beyond these bounds are forgotten, the longest unused first.
MAX_ANSWERS = 20_000
MAX_BYTES = 64 * 1024 * 1024


@dataclass(eq=False)
class Answer:
    """One query's answer. `read_at` is -1 until it was computed; it is stale while `touched_at` is ahead."""

    stream: Stream
    named: NamedQuery
    topics: tuple[str, ...]
    # The value as JSON, ready to send, or the problem.
    body: bytes = b"null"
    problem: Problem | None = None
    etag: str = ""
    read_at: int = -1
    touched_at: int = 0
    # What other services' streams had come to, at least, when this was read: an answer may follow from them.
    saw: dict[Stream, int] = field(default_factory=dict)
    # True if an event may have been missed since it was read.
    doubted: bool = False
    # True once it is no longer looked after: no event reaches it any more.
    forgotten: bool = False
    # Subscribers with the ids under which they hold this answer.
    watchers: dict[Subscriber, set[str]] = field(default_factory=dict)

    @property
    def stale(self) -> bool:
        return self.touched_at > self.read_at or self.read_at < 0 or self.doubted or self.forgotten

    @property
    def failed(self) -> bool:
        """A fault is told to those who wait, and vouched for to nobody."""
        return self.problem is not None and self.problem.status >= 500

    def concerns(self, fact: Fact) -> bool:
        return self.stream == fact.stream and any(topic in self.topics for topic in fact.topics)

    def fill(self, value: Any, problem: Problem | None, read_at: int) -> bool:
        """Takes a fresh reading; True if what readers see changed."""
        first = not self.etag
        if read_at < self.read_at:
            return False
        self.read_at = read_at
        self.doubted = False
        body = problem.model_dump_json(exclude={"trace_id"}).encode() if problem else orjson.dumps(value)
        if not first and body == self.body:
            return False
        self.body = body
        self.problem = problem
        self.etag = hashlib.blake2b(body, digest_size=12).hexdigest()
        return True


class Answers:
    """All answers of a process, by query and by topic."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[tuple[str, bytes], Answer] = OrderedDict()
        self._by_topic: dict[str, set[Answer]] = {}
        self._watched: dict[Stream, set[Answer]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, query: Query[Any]) -> Answer:
        """The shared answer of a query. Callers with the same arguments and the same visible part of the
        organization get the same one; who they are plays no part."""
        args = query.model_dump(mode="json")
        key = (query.message, orjson.dumps(args, option=orjson.OPT_SORT_KEYS))
        answer = self._by_key.get(key)
        if answer is None:
            answer = Answer(
                stream=Stream(query.owner, query.tenant()),
                named=NamedQuery(query=query.message, args=args),
                topics=query.topics(),
            )
            self._by_key[key] = answer
            for topic in answer.topics:
                self._by_topic.setdefault(topic, set()).add(answer)
            self._forget_some(keep=answer)
        else:
            self._by_key.move_to_end(key)
        return answer

    def touch(self, fact: Fact) -> bool:
        """Marks what an event makes stale; True if somebody watches any of it."""
        watched = False
        for topic in fact.topics:
            for answer in self._by_topic.get(topic, ()):
                if answer.stream == fact.stream and fact.sequence > answer.touched_at:
                    answer.touched_at = fact.sequence
                    watched = watched or bool(answer.watchers)
        return watched

    def watch(self, answer: Answer, subscriber: Subscriber, name: str) -> None:
        answer.watchers.setdefault(subscriber, set()).add(name)
        self._watched.setdefault(answer.stream, set()).add(answer)

    def unwatch(self, answer: Answer, subscriber: Subscriber, name: str) -> None:
        names = answer.watchers.get(subscriber, set())
        names.discard(name)
        if not names:
            answer.watchers.pop(subscriber, None)
        if not answer.watchers:
            watched = self._watched.get(answer.stream, set())
            watched.discard(answer)
            if not watched:
                self._watched.pop(answer.stream, None)

    def watched(self, stream: Stream) -> list[Answer]:
        return list(self._watched.get(stream, ()))

    def doubt(self, streams: Iterable[Stream]) -> None:
        """Facts of these streams may have been missed: read again whatever was read from them."""
        doubted = set(streams)
        for answer in self._by_key.values():
            if answer.stream in doubted:
                answer.doubted = True

    def _forget_some(self, keep: Answer) -> None:
        if len(self._by_key) <= MAX_ANSWERS:
            # Sizes are looked at now and then: a sum over all is cheap against a wrong bound.
            if len(self._by_key) % 256:
                return
            # The arguments count too, in the key and in the answer: clients choose how long they are.
            self._bytes = sum(len(answer.body) + 2 * len(key[1]) for key, answer in self._by_key.items())
            if self._bytes <= MAX_BYTES:
                return
        surplus = max(len(self._by_key) - MAX_ANSWERS, len(self._by_key) // 8)
        for key, answer in list(self._by_key.items()):
            if surplus <= 0:
                return
            if not answer.watchers and answer is not keep:
                self._drop(key, answer)
                surplus -= 1

    def _drop(self, key: tuple[str, bytes], answer: Answer) -> None:
        del self._by_key[key]
        # Whoever still has it in hand must not take it for fresh.
        answer.forgotten = True
        for topic in answer.topics:
            self._by_topic[topic].discard(answer)
            if not self._by_topic[topic]:
                del self._by_topic[topic]
