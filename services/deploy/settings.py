"""The environment of deploy, typed."""

from __future__ import annotations

from libs.service.settings import ServiceSettings


class DeploySettings(ServiceSettings):
    """Nothing beyond what every service has."""
