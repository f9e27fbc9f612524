"""Rules of a rollout. Rollback returns to what was before, whatever came before that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.deploy import Placement, RolloutStarted, RolloutSucceeded, VersionWentLive
from services.deploy.environments.domain import EnvironmentLocked
from services.deploy.rollouts import domain
from services.deploy.rollouts.domain import (
    EARLIER_KEPT,
    AlreadyLive,
    Decided,
    NothingToRollBackTo,
    RolloutNotFound,
)
from tests.domain.deploy.builders import NOW, an_environment, rolled_back, started


def went_live(decided: Decided) -> VersionWentLive:
    (event,) = [event for event in decided.events if isinstance(event, VersionWentLive)]
    return event


def test_a_rollout_makes_its_version_live_and_tells_each_step() -> None:
    decided = started("1.0.0")
    assert decided.placement.live.version == "1.0.0"
    assert (decided.rollout.state, decided.rollout.previous) == ("succeeded", None)
    assert all(step.state == "done" for step in decided.rollout.steps)
    assert decided.rollout.finished_at == NOW
    assert [type(event) for event in decided.events] == [RolloutStarted, VersionWentLive, RolloutSucceeded]


def test_a_locked_environment_refuses_a_rollout() -> None:
    with pytest.raises(EnvironmentLocked):
        started("1.0.0", environment=an_environment(locked=True))


def test_a_locked_environment_can_be_rolled_back() -> None:
    placement = started("1.1.0", started("1.0.0").placement).placement
    decided = rolled_back(placement, an_environment(locked=True))
    assert decided.placement.live.version == "1.0.0"
    assert decided.rollout.kind == "rollback"


def test_what_is_live_is_not_rolled_out_again() -> None:
    with pytest.raises(AlreadyLive):
        started("1.0.0", started("1.0.0").placement)


def test_without_anything_before_there_is_nothing_to_roll_back_to() -> None:
    for placement in (None, started("1.0.0").placement):
        with pytest.raises(NothingToRollBackTo):
            rolled_back(placement)


def test_an_unknown_rollout_is_refused() -> None:
    with pytest.raises(RolloutNotFound):
        domain.known(None, "rol_1")


@given(st.lists(st.sampled_from(["back", "1.0.0", "1.1.0", "2.0.0"]), max_size=40))
def test_rollback_returns_to_what_was_before_after_any_sequence(moves: list[str]) -> None:
    """Against the simplest model there is: a stack."""
    placement: Placement | None = None
    stack: list[str] = []
    moved = 0
    for move in moves:
        before = placement
        if move == "back":
            if len(stack) < 2:
                with pytest.raises(NothingToRollBackTo):
                    rolled_back(placement)
                continue
            decided = rolled_back(placement)
            stack.pop()
        elif stack and stack[-1] == move:
            with pytest.raises(AlreadyLive):
                started(move, placement)
            continue
        else:
            decided = started(move, placement)
            stack = [*stack, move][-(EARLIER_KEPT + 1) :]
        placement, moved = decided.placement, moved + 1
        event = went_live(decided)
        assert event.previous == (before.live.version if before else None)
        assert event.version == placement.live.version == decided.rollout.version == stack[-1]
        assert [earlier.version for earlier in placement.earlier] == stack[:-1]
        assert placement.revision == moved


@given(st.lists(st.sampled_from(["1.0.0", "1.1.0", "2.0.0"]), min_size=1, max_size=EARLIER_KEPT))
def test_as_many_rollbacks_as_rollouts_lead_back_to_the_first(versions: list[str]) -> None:
    placement = started("0.0.1").placement
    first = placement.live
    done = 0
    for version in versions:
        if version != placement.live.version:
            placement, done = started(version, placement).placement, done + 1
    for _ in range(done):
        placement = rolled_back(placement).placement
    assert placement.live == first
    assert placement.earlier == ()
