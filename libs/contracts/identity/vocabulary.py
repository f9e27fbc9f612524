"""The words in which an organization's own applications ask for decisions, and what they mean here.

Whoever asks over AuthZEN may use the portal's own words, a permission on a part of the tree. With a
vocabulary they use theirs (`alice` may `write` a `record`), and the same function decides.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from libs.contracts.base import Command, Event, Frozen, Query, Resource, topic
from libs.contracts.identity.access import Permission, SubjectId

Word = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Value = str | bool | int
# `subject.role`, `action.soft`, `resource.status`: where a property is, and its name.
Property = Annotated[str, StringConstraints(pattern=r"^(subject|action|resource)\.[A-Za-z0-9_-]{1,64}$")]


class Meaning(Frozen):
    """An action on a type of resource asks for `permission`, where every property of `when` has that value.
    Without a permission it is never allowed."""

    resource: Word
    action: Word
    when: dict[Property, Value] = Field(default_factory=dict, max_length=10)
    permission: Permission | None


class KnownSubject(Frozen):
    """Who is meant by a name, and properties to go by where the question brings none."""

    id: SubjectId
    properties: dict[Word, Value] = Field(default_factory=dict, max_length=20)


class Vocabulary(Resource):
    """Of the meanings of an action the first that fits counts."""

    meanings: tuple[Meaning, ...] = ()
    # Types of resources, each with the part of the tree that their ids name: `orders`, `orders/production`.
    resources: dict[Word, Literal["application", "environment"]] = Field(default_factory=dict)
    subjects: dict[Word, KnownSubject] = Field(default_factory=dict)
    # Properties of resources, by type and id, where the question brings none.
    properties: dict[Word, dict[Word, dict[Word, Value]]] = Field(default_factory=dict)


class SetVocabulary(Command[Vocabulary], permission="role:update"):
    """All of it anew."""

    org: str
    meanings: tuple[Meaning, ...] = Field(default=(), max_length=200)
    resources: dict[Word, Literal["application", "environment"]] = Field(default_factory=dict, max_length=50)
    subjects: dict[Word, KnownSubject] = Field(default_factory=dict, max_length=1000)
    properties: dict[Word, dict[Word, dict[Word, Value]]] = Field(default_factory=dict, max_length=50)
    if_revision: int | None = None


class GetVocabulary(Query[Vocabulary], permission="role:read"):
    org: str

    def topics(self) -> tuple[str, ...]:
        return (topic("vocabulary", self.org),)


class VocabularySet(Event, permission="role:read"):
    """Not what it says, which may be long: gateways read it when they are next asked."""

    org: str
    revision: int

    def topics(self) -> tuple[str, ...]:
        return (topic("vocabulary", self.org),)

    def summary(self) -> str:
        return f"vocabulary for decisions set, revision {self.revision}"
