"""Messages: each has one name and one owner, and is on the other side what it was on this one."""

from __future__ import annotations

import importlib
import pkgutil
import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import gateway
import services
from gateway.queries import QUERIES
from libs.contracts import audit, deploy, identity, registry
from libs.contracts.base import Asking, Command, Event, Message, Moment, Query, leaves
from libs.contracts.envelope import Fact
from libs.contracts.registry import PublishVersion
from libs.errors import Problem, Refusal, every_refusal
from libs.permissions import PLATFORM, ROLES

OWNERS = {module.__name__.rsplit(".", 1)[-1] for module in (audit, deploy, identity, registry)}
COMMANDS, ASKED, EVENTS = leaves(Command), leaves(Query), leaves(Event)
EVERY: list[type[Message]] = [*COMMANDS, *ASKED, *EVENTS]
PERMISSIONS = {permission for role in ROLES.values() for permission in role}

texts = st.text(min_size=1, max_size=12)
json_objects = st.dictionaries(texts, texts | st.integers(-(2**40), 2**40) | st.none(), max_size=3)
moments = st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1))


def an_event(kind: Any) -> st.SearchStrategy[Event]:
    """Any instance: names are free text on purpose, as topics and summaries are made of them."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in kind.model_fields.items():
        annotation: Any = field.annotation
        special = {str: texts, int: st.integers(0, 2**53), dict[str, Any]: json_objects}
        fields[name] = special[annotation] if annotation in special else st.from_type(annotation)
    return st.builds(kind, **fields)


any_event = st.sampled_from(EVENTS).flatmap(an_event)


@st.composite
def facts(draw: st.DrawFn) -> Fact:
    event = draw(any_event)
    maybe = st.none() | texts
    return Fact(
        service=draw(st.sampled_from(sorted(OWNERS))),
        org=draw(texts),
        sequence=draw(st.integers(1, 10**18)),
        type=event.message,
        subject=draw(texts),
        time=draw(moments),
        data=event.model_dump(mode="json"),
        topics=tuple(draw(st.lists(st.from_regex(r"\A[a-z/_0-9.-]{1,20}\Z"), max_size=3))),
        permission=event.permission,
        summary=event.summary(),
        actor=draw(st.sampled_from(["usr_1", "service:audit", "anonymous"])),
        actor_name=draw(texts),
        address=draw(maybe),
        agent=draw(maybe),
        session=draw(maybe),
        traceparent=draw(st.none() | st.just(f"00-{'a' * 32}-{'b' * 16}-01")),
        request=draw(maybe),
        causation=draw(maybe),
    )


def test_there_are_messages_of_every_owner_and_kind() -> None:
    assert {message.owner for message in EVERY} == OWNERS
    assert len(COMMANDS) > 10
    assert len(ASKED) > 10
    assert len(EVENTS) > 10


def test_every_message_has_a_name_of_its_own() -> None:
    names = [message.message for message in EVERY]
    assert len(names) == len(set(names))
    for message in EVERY:
        assert message.message.startswith(f"{message.owner}.")
        assert re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)*", message.message)


def test_names_do_not_meet_those_that_every_service_answers() -> None:
    common = {"read", "read_events", "read_heads", "list_parked", "replay_parked"}
    assert not {message.message.split(".")[1] for message in EVERY} & common


@pytest.mark.parametrize("message", [*COMMANDS, *ASKED], ids=lambda message: message.message)
def test_an_order_or_question_names_its_answer_and_a_permission_that_exists(
    message: type[Asking[Any]],
) -> None:
    assert isinstance(message.reply, TypeAdapter)
    assert message.permission is None or message.permission in PERMISSIONS


@pytest.mark.parametrize("message", EVENTS, ids=lambda message: message.message)
def test_an_event_is_seen_with_a_permission_that_exists(message: type[Event]) -> None:
    assert message.permission in PERMISSIONS


@pytest.mark.parametrize("message", [*COMMANDS, *ASKED], ids=lambda message: message.message)
def test_what_concerns_an_organization_asks_for_a_permission_unless_it_says_why_not(
    message: type[Asking[Any]],
) -> None:
    without = {
        "identity.remove_member": "a member may leave without any",
        "registry.get_files": "assets are public",
        "deploy.get_discovery": "shells are public",
        "audit.record_refusal": "told by gateways, and by nobody else",
        "identity.admit_foreign_user": "told by gateways, and by nobody else",
        "identity.exchange_token": "the runner's own token is the proof",
        "identity.issue_token": "the account's key is the proof",
        "identity.revoke_token": "the client's key, or the token itself, is the proof",
        "identity.note_keys_used": "told by gateways, and by nobody else",
        "identity.remove_assignment": "asks for one on the assignment's own part of the tree",
    }
    if "org" in message.model_fields and message.permission is None:
        assert message.message in without


@pytest.mark.parametrize("message", EVERY, ids=lambda message: message.message)
def test_what_a_message_does_not_know_is_refused(message: type[Message]) -> None:
    with pytest.raises(ValidationError) as refused:
        message.model_validate({"surely_not_a_field": 1})
    assert "extra_forbidden" in [error["type"] for error in refused.value.errors()]


@pytest.mark.parametrize("query", QUERIES.values(), ids=lambda query: query.message)
def test_a_question_that_can_be_watched_depends_on_topics_of_its_own_organization(
    query: type[Query[Any]],
) -> None:
    def a_query(org: str) -> Query[Any]:
        values = {"org": org, "user": org, "version": "1.0.0"}
        fields = {
            name: values.get(name, "x") for name, field in query.model_fields.items() if field.is_required()
        }
        return query.model_validate(fields)

    mine, theirs = set(a_query("org_a").topics()), set(a_query("org_b").topics())
    assert mine
    assert not mine & theirs


@settings(max_examples=80)
@given(any_event)
def test_an_event_is_the_same_after_its_way_as_json(event: Event) -> None:
    assert type(event).model_validate_json(event.model_dump_json()) == event
    assert event.summary()
    # What was attempted may have been anywhere; every fact is within its own organization.
    if not isinstance(event, audit.AttemptRefused):
        assert event.resource().startswith(event.tenant())
    assert event.tenant() == getattr(event, "org", PLATFORM)


@settings(max_examples=80)
@given(facts())
def test_a_fact_is_the_same_after_its_way_over_the_bus(fact: Fact) -> None:
    assert Fact.decode(fact.encode()) == fact


@settings(max_examples=50)
@given(facts())
def test_a_fact_is_a_cloud_event(fact: Fact) -> None:
    event = fact.cloud_event()
    assert event["specversion"] == "1.0"
    for required in ("id", "source", "type"):
        assert isinstance(event[required], str)
        assert event[required]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", event["time"])
    assert event["datacontenttype"] == "application/json"
    for name, value in event.items():
        assert re.fullmatch("[a-z0-9]{1,20}", name), "lower case letters and digits alone"
        assert name == "data" or isinstance(value, str)


@settings(max_examples=30)
@given(facts(), facts())
def test_source_and_id_tell_two_facts_apart(one: Fact, other: Fact) -> None:
    same_place = (one.stream, one.sequence) == (other.stream, other.sequence)
    assert same_place or (one.id, one.service) != (other.id, other.service) or ":" in one.org + other.org


@given(
    st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b"null", b'{"source":1}', b'{"source":"/mes/x"}'])
)
def test_what_is_no_event_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # any of its kinds: callers catch this one
        Fact.decode(body)


@settings(max_examples=50)
@given(st.datetimes(timezones=st.timezones()) | st.datetimes())
def test_a_moment_is_in_utc_and_reads_back_equal_or_is_refused(moment: datetime) -> None:
    adapter: TypeAdapter[datetime] = TypeAdapter(Moment)
    try:
        kept = adapter.validate_python(moment)
    except ValidationError:
        assert moment.year in (1, 9999)
        return
    assert kept.utcoffset() is not None
    assert adapter.validate_json(adapter.dump_json(kept)) == kept
    assert kept.microsecond % 1000 == 0


@pytest.mark.parametrize(
    "version", ["1.0.0", "0.0.1", "1.2.3-rc.1", "1.2.3+build.5", "1.2.3-a-b.0+c", "999999999.0.0"]
)
def test_what_is_a_version_is_taken(version: str) -> None:
    assert PublishVersion(org="o", app="a", version=version, upload="0" * 64).version == version


@pytest.mark.parametrize(
    "version",
    ["1", "1.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0\n", " 1.0.0", "1.0.0/..", "latest"],
)
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(ValidationError):
        PublishVersion(org="o", app="a", version=version, upload="0" * 64)


def import_everything() -> None:
    """So that every refusal there is has been defined."""
    for package in (gateway, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def test_every_refusal_belongs_to_a_category_and_so_has_its_status() -> None:
    import_everything()
    strays = {kind for kind in Refusal.__subclasses__() if kind.__module__ != "libs.errors"}
    assert {kind for kind in strays if kind.__module__.split(".")[0] != "tests"} == set()


def test_every_refusal_has_a_code_of_its_own_and_says_what_it_means() -> None:
    import_everything()
    refusals = every_refusal()
    assert len(refusals) > 40
    codes = [refusal.code for refusal in refusals]
    assert sorted({code for code in codes if codes.count(code) > 1}) == []
    for refusal in refusals:
        assert re.fullmatch("[a-z]+(_[a-z]+)*", refusal.code)
        assert 400 <= refusal.status <= 599
        assert refusal.__doc__, f"{refusal.__name__} does not say what it means"


def test_a_refusal_is_the_same_problem_after_its_way_over_the_bus() -> None:
    import_everything()
    for kind in every_refusal():
        problem = kind("why", ({"field": "a", "message": "b"},)).problem()
        assert Problem.model_validate_json(problem.model_dump_json()) == problem
        assert (problem.code, problem.status, problem.detail) == (kind.code, kind.status, "why")
        if problem.status in (429, 503):
            assert problem.retry_after, f"{problem.code} does not say when to come back"


def test_a_refusal_is_known_by_its_name() -> None:
    class NoSuchThing(Refusal):
        """Only here."""

    assert NoSuchThing.code == "no_such_thing"
