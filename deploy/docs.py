"""Writes `docs/generated/`: OpenAPI, AsyncAPI, error codes, settings, permissions. All from the code itself.

`make docs` writes them; a test writes them elsewhere and compares, so they cannot fall behind.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings

import gateway
import services
from gateway import asyncapi
from gateway.app import create
from gateway.portal import Portal
from gateway.settings import GatewaySettings
from libs.errors import every_refusal
from libs.permissions import ROLES
from services.audit.settings import AuditSettings
from services.deploy.settings import DeploySettings
from services.identity.settings import IdentitySettings
from services.registry.settings import RegistrySettings

FOLDER = Path(__file__).parent.parent / "docs" / "generated"
NOTE = "<!-- Made by `make docs`; do not edit. -->\n\n"
SETTINGS: dict[str, type[BaseSettings]] = {
    "gateway": GatewaySettings,
    "identity": IdentitySettings,
    "registry": RegistrySettings,
    "deploy": DeploySettings,
    "audit": AuditSettings,
}


def documents() -> dict[str, str]:
    """File name → text."""
    _import_all(services, gateway)
    return {
        "openapi.json": _json(_openapi()),
        "asyncapi.json": _json(asyncapi.document()),
        "errors.md": _errors(),
        "settings.md": _settings(),
        "permissions.md": _permissions(),
    }


def _openapi() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        # Never connected: only its routes are read.
        settings = GatewaySettings(amqp_url="amqp://localhost", objects_url=f"file://{folder}")
        return create(Portal(settings)).openapi()


def _errors() -> str:
    lines = ["# Error codes\n\nThe `code` of a problem is stable. 503 and 429 carry `Retry-After`.\n"]
    lines += ["| code | status | meaning |", "| --- | --- | --- |"]
    for refusal in every_refusal():
        meaning = " ".join((refusal.__doc__ or "").split())
        lines.append(f"| `{refusal.code}` | {refusal.status} | {meaning} |")
    return NOTE + "\n".join(lines) + "\n"


def _settings() -> str:
    parts = ["# Settings\n\nEnvironment of each process. The launcher and the compose file set them.\n"]
    for name, settings in SETTINGS.items():
        parts.append(f"## {name}\n\n| variable | type | default |\n| --- | --- | --- |")
        for field, info in settings.model_fields.items():
            kind = getattr(info.annotation, "__name__", str(info.annotation)).replace("|", "or")
            default = "required" if info.is_required() else f"`{info.default}`"
            parts.append(f"| `MES_{field.upper()}` | {kind} | {default} |")
        parts.append("")
    return NOTE + "\n".join(parts)


def _permissions() -> str:
    every = sorted(set().union(*ROLES.values()))
    lines = ["# Roles and permissions\n", "| permission | " + " | ".join(ROLES) + " |"]
    lines.append("| --- |" + " --- |" * len(ROLES))
    for permission in every:
        marks = ("yes" if permission in held else "" for held in ROLES.values())
        lines.append(f"| `{permission}` | " + " | ".join(marks) + " |")
    return NOTE + "\n".join(lines) + "\n"


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _import_all(*packages: Any) -> None:
    """Refusals are found among what is imported."""
    for package in packages:
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith(".main"):
                importlib.import_module(module.name)


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text)
        sys.stdout.write(f"{name}: {len(text):,} characters\n")


if __name__ == "__main__":
    main()
