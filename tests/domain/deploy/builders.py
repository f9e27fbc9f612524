"""Builders that show only what matters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from libs.contracts.deploy import Environment, Placement, RollBack, StartRollout
from libs.contracts.registry import App, Remote, Version
from services.deploy.rollouts import domain
from services.deploy.rollouts.domain import Decided

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REMOTE = Remote(name="orders", entry="remoteEntry.js", type="global", exposes=())


def an_environment(**fields: Any) -> Environment:
    return Environment(slug="production", name="Production").model_copy(update=fields)


def an_app() -> App:
    return App(slug="orders", name="Orders", kind="remote", created_at=NOW, created_by="usr_a", revision=1)


def a_version(version: str) -> Version:
    return Version(
        app="orders",
        version=version,
        digest=f"sha256:{version}",
        state="published",
        size=0,
        published_at=NOW,
        published_by="usr_a",
        manifest={},
        remote=REMOTE,
        files=(),
    )


def started(
    version: str, placement: Placement | None = None, environment: Environment | None = None
) -> Decided:
    command = StartRollout(org="org_a", environment="production", app="orders", version=version)
    place = environment or an_environment()
    return domain.start(place, an_app(), a_version(version), placement, command, "rol_1", "usr_a", NOW)


def rolled_back(placement: Placement | None, environment: Environment | None = None) -> Decided:
    command = RollBack(org="org_a", environment="production", app="orders")
    return domain.roll_back(environment or an_environment(), placement, command, "rol_2", "usr_a", NOW)
