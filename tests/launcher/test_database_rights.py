"""Each service sees its own database and no other, and has there what the store needs."""

from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from deploy.local import LocalParts
from deploy.local.parts import with_database
from deploy.local.rights import SERVICES


def a_client(url: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(url, serverSelectionTimeoutMS=5000)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_works_in_its_own_database(parts: LocalParts, service: str) -> None:
    with a_client(parts.mongo_url(service)) as client:
        store = client.get_default_database()
        assert store.name == service
        store.create_collection("probe")
        store.probe.create_index("key", unique=True)
        with store.probe.watch() as changes, client.start_session() as session:
            with session.start_transaction():
                store.probe.insert_one({"key": 1}, session=session)
                store.probe.update_one({"key": 1}, {"$set": {"seen": True}}, session=session)
            assert next(changes)["operationType"] == "insert"
        store.probe.drop()


def test_a_foreign_database_is_refused(parts: LocalParts) -> None:
    with a_client(parts.mongo_url("registry")) as client:
        with pytest.raises(OperationFailure):
            client["identity"]["users"].find_one()
        with pytest.raises(OperationFailure):
            client["identity"]["users"].insert_one({})
        with pytest.raises(OperationFailure):
            client["registry"].command(
                "createUser", "friend", pwd="x", roles=[{"role": "root", "db": "admin"}]
            )


def test_nobody_reads_without_a_password(parts: LocalParts) -> None:
    address = parts.mongo_url("registry").split("@")[1].split("/")[0]
    with a_client(f"mongodb://{address}/?directConnection=true") as client, pytest.raises(OperationFailure):
        client["registry"]["applications"].find_one()


def test_a_given_server_keeps_its_user_and_options() -> None:
    assert (
        with_database("mongodb://root:pw@db:27017/?replicaSet=rs0", "audit")
        == "mongodb://root:pw@db:27017/audit?replicaSet=rs0&authSource=admin"
    )
    assert with_database("mongodb://db/other", "audit") == "mongodb://db/audit"
