"""The environment of registry, typed."""

from __future__ import annotations

from libs.service.settings import ServiceSettings


class RegistrySettings(ServiceSettings):
    # Where builds are kept: `file:///folder`, `s3://bucket/prefix`, `gs://…` or `az://…`.
    objects_url: str
