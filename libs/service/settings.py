"""The environment that every service shares, typed. A service's own settings derive from it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse

from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MES_", extra="ignore")

    # Name of this process among its replicas, for logs and traces.
    process: str = ""
    amqp_url: str
    mongo_url: str
    # Created when ready, with the process id in it; removed at stop.
    ready_file: Path | None = None
    log_level: str = "INFO"

    @property
    def broker_user(self) -> str:
        return unquote(urlparse(self.amqp_url).username or "guest")
