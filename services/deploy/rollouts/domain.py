"""Rules of a rollout: a state machine over steps, and what it makes live. No I/O.

A rollout is its steps. `start` makes them from the strategy; `advance` does what is due and says what
became of it. All at once is one step that is due at once; a strategy with pauses adds steps that
are due later, and the same two functions carry it.
"""

from __future__ import annotations

from datetime import datetime

from libs.contracts.base import Event
from libs.contracts.deploy import (
    Environment,
    Placed,
    Placement,
    PlacementSummary,
    RollBack,
    Rollout,
    RolloutStarted,
    RolloutSucceeded,
    StartRollout,
    Step,
    Strategy,
    VersionWentLive,
)
from libs.contracts.registry import App, Version
from libs.errors import Conflict, NotFound
from services.deploy.environments.domain import EnvironmentLocked

# How many versions a placement remembers for rollback, newest last.
EARLIER_KEPT = 10


class RolloutNotFound(NotFound):
    """No such rollout."""


class AlreadyLive(Conflict):
    """That very version is live there."""


class NothingToRollBackTo(Conflict):
    """Nothing was live there before."""


class Decided:
    """What a decision came to: the rollout, the placement it led to, and the events about both."""

    def __init__(self, rollout: Rollout, placement: Placement, events: list[Event]) -> None:
        self.rollout = rollout
        self.placement = placement
        self.events = events


def start(
    environment: Environment,
    app: App,
    version: Version,
    placement: Placement | None,
    command: StartRollout,
    rollout_id: str,
    by: str,
    now: datetime,
) -> Decided:
    if environment.locked:
        raise EnvironmentLocked(environment.slug)
    if placement and placement.live.version == version.version:
        raise AlreadyLive(f"{app.slug} {version.version} is live in {environment.slug}")
    rollout = Rollout(
        id=rollout_id,
        environment=environment.slug,
        app=app.slug,
        version=version.version,
        previous=placement.live.version if placement else None,
        kind="rollout",
        strategy=command.strategy,
        state="running",
        steps=_steps(command.strategy),
        started_by=by,
        started_at=now,
        revision=1,
    )
    target = Placed(version=version.version, kind=app.kind, remote=version.remote, files=version.files)
    return _begun(command.org, rollout, placement, target, _remembered(placement), now)


def roll_back(
    environment: Environment,
    placement: Placement | None,
    command: RollBack,
    rollout_id: str,
    by: str,
    now: datetime,
) -> Decided:
    """To what was live before. A locked environment allows it: taking back must always be possible."""
    if placement is None or not placement.earlier:
        raise NothingToRollBackTo(f"{command.app} in {environment.slug}")
    target = placement.earlier[-1]
    strategy = Strategy()
    rollout = Rollout(
        id=rollout_id,
        environment=environment.slug,
        app=command.app,
        version=target.version,
        previous=placement.live.version,
        kind="rollback",
        strategy=strategy,
        state="running",
        steps=_steps(strategy),
        started_by=by,
        started_at=now,
        revision=1,
    )
    return _begun(command.org, rollout, placement, target, placement.earlier[:-1], now)


def advance(rollout: Rollout, now: datetime) -> tuple[Rollout, bool]:
    """Does the steps that are due. True if the new version now has all traffic."""
    steps = tuple(
        step.model_copy(update={"state": "done", "done_at": now}) if step.state == "waiting" else step
        for step in rollout.steps
    )
    finished = all(step.state == "done" for step in steps)
    return (
        rollout.model_copy(
            update={
                "steps": steps,
                "state": "succeeded" if finished else "running",
                "finished_at": now if finished else None,
            }
        ),
        finished and steps[-1].traffic == 100,
    )


def known(rollout: Rollout | None, name: str) -> Rollout:
    if rollout is None:
        raise RolloutNotFound(name)
    return rollout


def summary(placement: Placement) -> PlacementSummary:
    """As readers get it."""
    return PlacementSummary(
        app=placement.app,
        version=placement.live.version,
        since=placement.since,
        can_roll_back_to=placement.earlier[-1].version if placement.earlier else None,
    )


def _steps(strategy: Strategy) -> tuple[Step, ...]:
    assert strategy.kind == "all_at_once"
    return (Step(traffic=100, state="waiting"),)


def _remembered(placement: Placement | None) -> tuple[Placed, ...]:
    return (*placement.earlier, placement.live)[-EARLIER_KEPT:] if placement else ()


def _begun(
    org: str,
    rollout: Rollout,
    placement: Placement | None,
    target: Placed,
    earlier: tuple[Placed, ...],
    now: datetime,
) -> Decided:
    place = {"org": org, "environment": rollout.environment, "app": rollout.app, "rollout": rollout.id}
    events: list[Event] = [RolloutStarted(**place, version=rollout.version, kind=rollout.kind)]
    rollout, live = advance(rollout, now)
    assert live, "every strategy that is known finishes at once"
    events += [
        VersionWentLive(**place, version=rollout.version, previous=rollout.previous),
        RolloutSucceeded(**place, version=rollout.version),
    ]
    placed = Placement(
        environment=rollout.environment,
        app=rollout.app,
        live=target,
        since=now,
        earlier=earlier,
        revision=(placement.revision if placement else 0) + 1,
    )
    return Decided(rollout, placed, events)
