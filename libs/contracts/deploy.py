"""Messages of deploy: environments, rollouts, discovery."""

from __future__ import annotations

from typing import Literal

from libs.contracts.base import (
    Command,
    Event,
    Filtered,
    Frozen,
    Moment,
    Name,
    Page,
    Paged,
    Query,
    Resource,
    Slug,
    View,
    topic,
)
from libs.contracts.registry import FileRecord, Kind, Remote, SemVer

RolloutState = Literal["running", "succeeded", "failed"]
StepState = Literal["waiting", "done"]


# What readers get.
class Environment(Resource):
    slug: str
    name: str
    # A locked environment refuses rollouts; rollback stays possible.
    locked: bool = False


class Strategy(Frozen):
    kind: Literal["all_at_once"] = "all_at_once"


class Step(View):
    """One step of a rollout; `traffic` is the share in percent that gets the new version."""

    traffic: int
    state: StepState
    done_at: Moment | None = None


class Rollout(Resource):
    id: str
    environment: str
    app: str
    version: str
    previous: str | None
    kind: Literal["rollout", "rollback"]
    strategy: Strategy
    state: RolloutState
    steps: tuple[Step, ...]
    started_by: str
    started_at: Moment
    finished_at: Moment | None = None


class Placed(View):
    """A version as it is live in an environment. A copy, as versions never change."""

    version: str
    kind: Kind
    remote: Remote
    files: tuple[FileRecord, ...]


class Placement(Resource):
    """What an application serves in an environment, and what it served before, newest last."""

    environment: str
    app: str
    live: Placed
    since: Moment
    earlier: tuple[Placed, ...] = ()


class PlacementSummary(View):
    app: str
    version: str
    since: Moment
    can_roll_back_to: str | None


class Discovery(View):
    """What a shell may load. The gateway puts addresses to it; see `gateway.discovery`."""

    environment: str
    placed: tuple[tuple[str, Placed], ...]


# Commands.
class CreateEnvironment(Command[Environment], permission="environment:update"):
    org: str
    slug: Slug
    name: Name


class UpdateEnvironment(Command[Environment], permission="environment:update"):
    org: str
    slug: Slug
    name: Name | None = None
    locked: bool | None = None
    if_revision: int | None = None


class StartRollout(Command[Rollout], permission="rollout:start"):
    org: str
    environment: Slug
    app: Slug
    version: SemVer
    strategy: Strategy = Strategy()

    def resource(self) -> str:
        return f"{self.org}/{self.app}/{self.environment}"


class RollBack(Command[Rollout], permission="rollout:rollback"):
    """Back to the version that was live before."""

    org: str
    environment: Slug
    app: Slug

    def resource(self) -> str:
        return f"{self.org}/{self.app}/{self.environment}"


# Queries.
class ListEnvironments(Paged, Query[Page[Environment]], permission="environment:read"):
    org: str

    def topics(self) -> tuple[str, ...]:
        return (topic("environments", self.org),)


class GetEnvironment(Query[Environment], permission="environment:read"):
    org: str
    environment: Slug

    def topics(self) -> tuple[str, ...]:
        return (topic("environments", self.org),)


class ListPlacements(Filtered, Paged, Query[Page[PlacementSummary]], permission="rollout:read"):
    org: str
    environment: Slug

    def topics(self) -> tuple[str, ...]:
        return (topic("placements", self.org, self.environment),)


class ListRollouts(Filtered, Paged, Query[Page[Rollout]], permission="rollout:read"):
    org: str
    environment: Slug

    def topics(self) -> tuple[str, ...]:
        return (topic("rollouts", self.org, self.environment),)


class GetRollout(Filtered, Query[Rollout], permission="rollout:read"):
    org: str
    rollout: str

    def topics(self) -> tuple[str, ...]:
        return (topic("rollout", self.org, self.rollout),)


class GetDiscovery(Query[Discovery]):
    """Public: shells are."""

    org: str
    environment: Slug

    def topics(self) -> tuple[str, ...]:
        return (topic("placements", self.org, self.environment),)


# Events.
class EnvironmentCreated(Event, permission="environment:read"):
    org: str
    environment: str

    def topics(self) -> tuple[str, ...]:
        # Until now the answer to the latter two was that there is no such environment.
        return (
            topic("environments", self.org),
            topic("placements", self.org, self.environment),
            topic("rollouts", self.org, self.environment),
        )

    def summary(self) -> str:
        return f"environment {self.environment} created"


class EnvironmentUpdated(Event, permission="environment:read"):
    org: str
    environment: str
    locked: bool

    def topics(self) -> tuple[str, ...]:
        return (topic("environments", self.org),)

    def summary(self) -> str:
        return f"environment {self.environment} updated" + (", locked" if self.locked else "")


class _OfRollout(Event, permission="rollout:read"):
    org: str
    environment: str
    app: str
    rollout: str

    def resource(self) -> str:
        return f"{self.org}/{self.app}/{self.environment}"

    def topics(self) -> tuple[str, ...]:
        return (topic("rollouts", self.org, self.environment), topic("rollout", self.org, self.rollout))


class RolloutStarted(_OfRollout, permission="rollout:read"):
    version: str
    kind: Literal["rollout", "rollback"]

    def summary(self) -> str:
        return f"{self.kind} of {self.app} to {self.version} in {self.environment} started"


class VersionWentLive(_OfRollout, permission="rollout:read"):
    version: str
    previous: str | None

    def topics(self) -> tuple[str, ...]:
        return (*super().topics(), topic("placements", self.org, self.environment))

    def summary(self) -> str:
        return f"{self.app} {self.version} went live in {self.environment}"


class RolloutSucceeded(_OfRollout, permission="rollout:read"):
    version: str

    def summary(self) -> str:
        return f"rollout of {self.app} to {self.version} in {self.environment} succeeded"
