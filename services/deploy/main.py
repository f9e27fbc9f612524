"""Wires deploy together and runs it."""

from __future__ import annotations

from libs.service.service import Service
from services.deploy.discovery import handlers as discovery
from services.deploy.environments import handlers as environments
from services.deploy.environments.store import ENVIRONMENTS
from services.deploy.rollouts import handlers as rollouts
from services.deploy.rollouts.store import PLACEMENTS, ROLLOUTS
from services.deploy.settings import DeploySettings


def main() -> None:
    settings = DeploySettings()
    service = Service("deploy", settings, [ENVIRONMENTS, ROLLOUTS, PLACEMENTS])
    asking = rollouts.Rollouts(service.asker)
    service.commands(
        environments.create_environment,
        environments.update_environment,
        asking.start_rollout,
        asking.roll_back,
    )
    service.queries(
        environments.get_environment,
        environments.list_environments,
        rollouts.get_rollout,
        rollouts.list_rollouts,
        rollouts.list_placements,
        discovery.get_discovery,
    )
    service.run()


if __name__ == "__main__":
    main()
