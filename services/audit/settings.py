"""The environment of audit, typed. It needs nothing beyond what every service does."""

from __future__ import annotations

from libs.service.settings import ServiceSettings


class AuditSettings(ServiceSettings):
    pass
