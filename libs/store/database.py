"""The one door to MongoDB: connection, documents with their indexes, and tenant scopes.

Nothing outside `libs.store` imports the driver, and no query can be written without a `Scope`, which adds
its organization to every filter.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorCollection
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from libs.contracts.base import Resource
from libs.errors import Unavailable
from libs.store.gathered import GatheredReads
from libs.telemetry import SpanKind, span

State = TypeVar("State", bound=Resource)
Filter = Mapping[str, Any]

# Acknowledged means on disk (G2). Without the journal flag the embedded database lost writes at kill -9.
DURABLE = WriteConcern("majority", j=True)
SERVER_SELECTION_MS = 3_000


class DatabaseUnavailable(Unavailable):
    """The database did not answer; nothing was done."""


@dataclass(frozen=True)
class Index:
    """Keys in order; a leading `-` is descending. The organization comes first unless `across` tenants."""

    keys: tuple[str, ...]
    unique: bool = False
    across: bool = False
    expire_after_seconds: int | None = None
    # Only documents that match are in the index; a filter must say the same to use it.
    where: tuple[tuple[str, str], ...] = ()

    def serves(self, fields: set[str]) -> bool:
        """Whether these fields are what the index begins with."""
        names = {key.lstrip("-") for key in self.keys[: len(fields)]}
        return names | {key for key, _ in self.where} == fields | {key for key, _ in self.where}

    def model(self) -> IndexModel:
        keys = self.keys if self.across else ("org", *self.keys)
        options: dict[str, Any] = {"unique": self.unique}
        if self.where:
            options["partialFilterExpression"] = dict(self.where)
        if self.expire_after_seconds is not None:
            options["expireAfterSeconds"] = self.expire_after_seconds
        return IndexModel(
            [(k.lstrip("-"), DESCENDING if k[0] == "-" else ASCENDING) for k in keys], **options
        )


@dataclass(frozen=True)
class Change:
    """One write of a commit. `expected` is the revision it replaces; 0 inserts; `state` None deletes."""

    documents: Documents[Any]
    id: str
    state: Resource | None
    expected: int
    org: str | None

    def document(self, org: str) -> dict[str, Any]:
        assert self.state is not None
        return self.documents.document(org, self.id, self.state)


class Documents(Generic[State]):
    """A collection of one model. `key` names a document within its organization.

    Fields in `opaque` are stored as JSON: they hold names that users chose, which may look like operators.
    """

    def __init__(
        self,
        name: str,
        model: type[State],
        key: Callable[[State], str],
        indexes: Iterable[Index] = (),
        opaque: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        self.model = model
        self.indexes = tuple(indexes)
        self.opaque = opaque
        self._key = key
        self._served: set[tuple[str, ...]] = set()

    def check(self, where: Filter, sort: str | None = None) -> None:
        """Raises ValueError for a query that no declared index serves: it would read the whole collection."""
        asked = (*where, sort or "")
        if asked in self._served:
            return
        fields = {*where, *([sort.lstrip("-")] if sort else [])} - {"org"}
        if fields != {"_id"} and not any(index.serves(fields) for index in self.indexes):
            raise ValueError(f"{self.name} has no index for {sorted(fields)}")
        self._served.add(asked)

    def put(self, state: State, org: str | None = None) -> Change:
        """Writes a state whose revision the domain has raised by one."""
        return Change(self, self._key(state), state, state.revision - 1, org)

    def delete(self, state: State, org: str | None = None) -> Change:
        return Change(self, self._key(state), None, state.revision, org)

    def document(self, org: str, key: str, state: Resource) -> dict[str, Any]:
        fields = state.model_dump(mode="python")
        for name in self.opaque:
            fields[name] = orjson.dumps(fields[name]).decode()
        return {**fields, "_id": f"{org}/{key}", "org": org}

    def state(self, document: Mapping[str, Any]) -> State:
        fields = dict(document)
        fields.pop("_id", None)
        fields.pop("org", None)
        for name in self.opaque:
            if name in fields:
                fields[name] = orjson.loads(fields[name])
        return self.model.model_validate(fields)


class Database:
    """One service's database. Create it inside a running event loop."""

    def __init__(self, url: str, name: str) -> None:
        self.client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
            url, tz_aware=True, serverSelectionTimeoutMS=SERVER_SELECTION_MS, connectTimeoutMS=3_000
        )
        # What is read cannot be rolled back either.
        self._database = self.client.get_database(
            name, write_concern=DURABLE, read_concern=ReadConcern("majority")
        )
        self._gathered: dict[str, GatheredReads] = {}

    def collection(self, name: str) -> AsyncIOMotorCollection[dict[str, Any]]:
        return self._database.get_collection(name)

    def gathered(self, name: str) -> GatheredReads:
        if name not in self._gathered:
            self._gathered[name] = GatheredReads(self.collection(name))
        return self._gathered[name]

    async def ensure(self, kinds: Iterable[Documents[Any]]) -> None:
        """Creates what is missing: collections (a transaction may not) and indexes."""
        existing = set(await self._database.list_collection_names())
        for kind in kinds:
            if kind.name not in existing:
                await self._database.create_collection(kind.name)
            if kind.indexes:
                await self.collection(kind.name).create_indexes([index.model() for index in kind.indexes])

    def tenant(self, org: str) -> Scope:
        return Scope(self, org)

    @asynccontextmanager
    async def snapshot(self, org: str) -> AsyncIterator[Scope]:
        """Reads that all see one moment. Sessions outside a transaction do not promise that everywhere."""
        try:
            async with (
                await self.client.start_session() as session,
                session.start_transaction(read_concern=ReadConcern("snapshot"), write_concern=DURABLE),
            ):
                yield Scope(self, org, session)
        except PyMongoError as error:
            raise DatabaseUnavailable(type(error).__name__) from error

    def close(self) -> None:
        self.client.close()


class Scope:
    """One organization's documents, outside or inside a snapshot. The only way to query."""

    def __init__(
        self, database: Database, org: str, session: AsyncIOMotorClientSession | None = None
    ) -> None:
        if not org:
            raise ValueError("a scope needs an organization")
        self.org = org
        self._database = database
        self._session = session

    def of(self, org: str) -> Scope:
        """The same snapshot for another organization, where a query legitimately needs both."""
        return Scope(self._database, org, self._session)

    async def get(self, documents: Documents[State], key: str) -> State | None:
        found = await self._one(documents.name, f"{self.org}/{key}")
        return _state(documents, found) if found and found["org"] == self.org else None

    async def first(self, documents: Documents[State], where: Filter) -> State | None:
        documents.check(where)
        with _reading("findOne", documents.name), _translated():
            found = await self._database.collection(documents.name).find_one(
                {**where, "org": self.org}, session=self._session
            )
        return _state(documents, found)

    async def find(
        self,
        documents: Documents[State],
        where: Filter,
        sort: str | None = None,
        limit: int = 0,
    ) -> list[State]:
        """`sort` is a field, descending with a leading `-`."""
        documents.check(where, sort)
        with _reading("find", documents.name), _translated():
            cursor = self._database.collection(documents.name).find(
                {**where, "org": self.org}, session=self._session
            )
            if sort:
                cursor = cursor.sort(sort.lstrip("-"), DESCENDING if sort[0] == "-" else ASCENDING)
            if limit:
                cursor = cursor.limit(limit)
            found = await cursor.to_list(None)
        return [documents.state(document) for document in found]

    async def head(self) -> int:
        """The newest sequence of this organization's stream."""
        found = await self._one("heads", self.org)
        return int(found["sequence"]) if found else 0

    async def _one(self, collection: str, key: str) -> Mapping[str, Any] | None:
        with _reading("findOne", collection), _translated():
            if self._session is None:
                return await self._database.gathered(collection).get(key)
            return await self._database.collection(collection).find_one({"_id": key}, session=self._session)

    async def across(
        self, documents: Documents[State], where: Filter, sort: str, limit: int
    ) -> list[tuple[str, State]]:
        """Rows of every organization, each with its organization. For installation-wide work only: the
        callers are few, and a test counts them."""
        documents.check(where, sort)
        with _reading("find", documents.name), _translated():
            cursor = self._database.collection(documents.name).find(dict(where), session=self._session)
            found = await cursor.sort(sort.lstrip("-"), ASCENDING).limit(limit).to_list(None)
        return [(document["org"], documents.state(document)) for document in found]

    async def between(self, documents: Documents[State], after: str, last: str) -> list[tuple[str, State]]:
        """All rows of the organizations after one and up to another, each with its organization. For
        installation-wide work only, as `across`."""
        with _reading("find", documents.name), _translated():
            where = {"org": {"$gt": after, "$lte": last}}
            found = (
                await self._database.collection(documents.name)
                .find(where, session=self._session)
                .to_list(None)
            )
        return [(document["org"], documents.state(document)) for document in found]


def _state(documents: Documents[State], found: Mapping[str, Any] | None) -> State | None:
    return documents.state(found) if found else None


class _translated:
    """Turns the driver's errors into a refusal that a client can act on."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, PyMongoError):
            raise DatabaseUnavailable(type(error).__name__) from error


def _reading(operation: str, collection: str) -> Any:
    return span(
        f"{operation} {collection}",
        SpanKind.CLIENT,
        {"db.system.name": "mongodb", "db.operation.name": operation, "db.collection.name": collection},
    )
