"""The environment that every process shares, typed. A service's own settings derive from it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse

from pydantic_settings import BaseSettings, SettingsConfigDict


class BaseProcessSettings(BaseSettings):
    """Of any process on the bus, the gateway included."""

    model_config = SettingsConfigDict(env_prefix="MES_", extra="ignore")

    # Name of this process among its replicas, for logs and traces.
    process: str = ""
    amqp_url: str
    # Created when ready, with the process id in it; removed at stop.
    ready_file: Path | None = None
    log_level: str = "INFO"

    @property
    def broker_user(self) -> str:
        return unquote(urlparse(self.amqp_url).username or "guest")


class ServiceSettings(BaseProcessSettings):
    """Of a service, which alone has a database."""

    mongo_url: str
