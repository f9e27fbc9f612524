"""The launcher's environment, typed."""

from pathlib import Path
from typing import Annotated

from pydantic import ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from deploy.local.failures import CannotStart
from deploy.local.processes import KINDS


class Settings(BaseSettings):
    """What `make run` listens to. Each is an environment variable: MES_PORT, MES_DATA, …"""

    model_config = SettingsConfigDict(env_prefix="MES_", env_ignore_empty=True)

    port: int = 8080
    data: Path = Path(".mes")
    mongo_url: str | None = None  # a MongoDB that runs elsewhere, instead of the embedded database
    amqp_url: str | None = None  # a RabbitMQ that runs elsewhere, instead of a private node
    replicas: Annotated[dict[str, int], NoDecode] = {}  # gateway=2,registry=2
    demo: bool = True  # fill an empty store with something to look at

    @field_validator("replicas", mode="before")
    @classmethod
    def _parse_replicas(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        counts: dict[str, int] = {}
        for part in filter(None, (part.strip() for part in value.split(","))):
            kind, _, count = part.partition("=")
            if kind not in KINDS or not count.isdigit() or int(count) < 1:
                raise ValueError(f"{part!r} is not one of {', '.join(KINDS)} with a count, as in gateway=2")
            counts[kind] = int(count)
        return counts


def from_environment() -> Settings:
    try:
        return Settings()
    except ValidationError as errors:
        lines = [f"MES_{str(error['loc'][0]).upper()}: {error['msg']}" for error in errors.errors()]
        raise CannotStart("These settings cannot be used.", "\n".join(lines)) from errors
