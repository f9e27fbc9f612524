"""What an entry says, in which order entries stand, and which search finds them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts.audit import EntriesRecorded, ListEntries, RecordRefusal
from libs.contracts.base import Caller
from libs.contracts.envelope import Fact
from libs.errors import CursorUnknown
from libs.permissions import EVERYTHING
from services.audit import domain
from services.audit.domain import Ledger, Recorded

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
TRACE = "0af7651916cd43dd8448eb211c80319c"


def a_fact(sequence: int = 1, **fields: Any) -> Fact:
    return Fact(
        **{
            "service": "registry",
            "org": "acme",
            "sequence": sequence,
            "type": "registry.app_created",
            "subject": "acme/orders",
            "time": NOON + timedelta(seconds=sequence),
            "data": {"org": "acme", "app": "orders"},
            "actor": "usr_1",
            "actor_name": "Ada",
            "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
            **fields,
        }
    )


def an_entry(**fields: Any) -> Recorded:
    _, entries, _ = domain.record(Ledger(), [a_fact(**fields)], NOON)
    return entries[0]


def found(entry: Recorded, **search: Any) -> bool:
    return domain.matches(entry, ListEntries(org="acme", visible=EVERYTHING, **search))


def test_an_entry_says_who_did_what_on_what_when_and_in_which_trace() -> None:
    entry = an_entry(address="192.0.2.7", agent="mes/1", session="ses_1", summary="orders created")
    assert entry.id == "registry:acme:1"
    assert (entry.action, entry.outcome, entry.resource) == ("registry.app_created", "done", "acme/orders")
    assert (entry.actor, entry.actor_name, entry.trace_id) == ("usr_1", "Ada", TRACE)
    assert (entry.address, entry.agent, entry.session) == ("192.0.2.7", "mes/1", "ses_1")
    assert (entry.occurred_at, entry.recorded_at) == (NOON + timedelta(seconds=1), NOON)


def test_entries_are_numbered_on_from_where_the_ledger_stood() -> None:
    ledger = Ledger(recorded=7, revision=3)
    moved, entries, events = domain.record(ledger, [a_fact(4), a_fact(5)], NOON)
    assert [(entry.ordinal, entry.sequence) for entry in entries] == [(8, 4), (9, 5)]
    assert (moved.recorded, moved.revision) == (9, 4)
    assert events == [EntriesRecorded(org="acme", count=2)]
    # Revision 1 is what the store inserts; anything above would replace.
    assert {entry.revision for entry in entries} == {1}


def test_a_refused_attempt_names_the_command_and_its_target() -> None:
    attempt = {"command": "registry.create_app", "target": "acme/shop", "code": "app_exists", "attempt": {}}
    entry = an_entry(type="registry.attempt_refused", subject="acme", data=attempt)
    assert (entry.outcome, entry.action, entry.resource) == ("refused", "registry.create_app", "acme/shop")


def test_a_refusal_at_the_gateway_is_an_entry_of_the_gateway() -> None:
    attempt = RecordRefusal(org="acme", action="registry.create_app", target="acme", code="rate_limited")
    caller = Caller(subject="usr_2", name="Grace", address="192.0.2.9", session="ses_2")
    _, (entry,), events = domain.record_refusal(Ledger(recorded=4), attempt, caller, TRACE, NOON)
    assert (entry.id, entry.service, entry.outcome) == ("gateway:acme:5", "gateway", "refused")
    assert (entry.actor, entry.address, entry.trace_id) == ("usr_2", "192.0.2.9", TRACE)
    assert entry.data == {"code": "rate_limited"}
    assert events == [EntriesRecorded(org="acme", count=1)]


def test_a_password_or_token_in_a_free_field_is_blanked() -> None:
    attempt = {"metadata": {"ci": [{"Token": "s3cret", "run": 7}], "password": "s3cret"}}
    entry = an_entry(type="registry.attempt_refused", data={"attempt": attempt})
    assert "s3cret" not in entry.model_dump_json()
    assert entry.data["attempt"]["metadata"]["ci"][0]["run"] == 7


@pytest.mark.parametrize(
    "search",
    [
        {},
        {"actor": "usr_1"},
        {"action": "registry.app_created"},
        {"action": "registry.*"},
        {"action": "*"},
        {"resource_prefix": "acme"},
        {"resource_prefix": "acme/orders"},
        {"resource_prefix": "acme/ord*"},
        {"outcome": "done"},
        {"trace": TRACE},
        {"since": NOON + timedelta(seconds=1)},
        {"until": NOON + timedelta(seconds=2)},
    ],
)
def test_a_search_that_fits_finds_the_entry(search: dict[str, Any]) -> None:
    assert found(an_entry(), **search)


@pytest.mark.parametrize(
    "search",
    [
        {"actor": "usr_10"},
        {"action": "registry.app"},
        {"action": "deploy.*"},
        {"resource_prefix": "acme/ord"},
        {"resource_prefix": "acme/orders/production"},
        {"resource_prefix": ""},
        {"outcome": "refused"},
        {"trace": "0" * 32},
        {"since": NOON + timedelta(seconds=2)},
        {"until": NOON + timedelta(seconds=1)},
        {"actor": "usr_1", "action": "deploy.*"},
    ],
)
def test_a_search_that_does_not_fit_leaves_it(search: dict[str, Any]) -> None:
    assert not found(an_entry(), **search)


def test_a_search_since_some_time_ends_where_nothing_later_lies_below() -> None:
    late, early = a_fact(1, time=NOON + timedelta(hours=2)), a_fact(2, time=NOON)
    _, (first, second), _ = domain.record(Ledger(), [late, early], NOON)
    since = ListEntries(org="acme", since=NOON + timedelta(hours=1))
    # The second occurred before, but what was recorded below it occurred after.
    assert not domain.ends(second, since)
    assert not domain.ends(first, since)
    assert domain.ends(first, ListEntries(org="acme", since=NOON + timedelta(hours=3)))


def test_a_cursor_comes_back_as_it_was_given() -> None:
    assert domain.ordinal_of(domain.cursor_before(41)) == 41


@pytest.mark.parametrize("cursor", ["", "x", "é", "YmVmb3Jl", "YmVmb3JlIC0x", "YmVmb3JlIA==", "-1"])
def test_a_cursor_of_somebody_else_is_refused(cursor: str) -> None:
    with pytest.raises(CursorUnknown):
        domain.ordinal_of(cursor)
