"""Builders that show only what matters."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from libs.contracts.registry import CreateApp, PublishVersion
from services.registry.apps import domain

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def an_app(slug: str = "orders", **fields: Any) -> domain.KnownApp:
    command = CreateApp(org="org_a", slug=slug, name=slug, kind="remote")
    app, _ = domain.create(None, command, "usr_a", NOW)
    return app.model_copy(update=fields)


def a_publish(version: str = "1.0.0", **fields: Any) -> PublishVersion:
    return PublishVersion(org="org_a", app="orders", version=version, upload="0" * 64, **fields)


def a_manifest(**meta: Any) -> dict[str, Any]:
    return {
        "name": "orders",
        "metaData": {
            "publicPath": "auto",
            "remoteEntry": {"name": "remoteEntry.js", "path": "", "type": "global"},
            **meta,
        },
        "shared": [],
        "exposes": [
            {"path": "./Page", "assets": {"js": {"sync": ["page.js"], "async": []}, "css": {"sync": []}}}
        ],
    }


def a_build(manifest: Any = None, **files: bytes) -> dict[str, bytes]:
    return {
        "mf-manifest.json": json.dumps(a_manifest() if manifest is None else manifest).encode(),
        "remoteEntry.js": b"entry",
        "page.js": b"page",
        **files,
    }
