"""The discovery document of shells (AWS frontend discovery, v1-pre): addresses put to what is live."""

from __future__ import annotations

from typing import Any

from libs.contracts.deploy import Discovery, Placed

SCHEMA = "https://raw.githubusercontent.com/awslabs/frontend-discovery/main/schema/v1-pre.json"
MANIFEST = "mf-manifest.json"


def document(found: Discovery, org: str, base: str) -> dict[str, Any]:
    """`base` is scheme and host. Addresses name the version, so that chunks resolve beside the manifest."""
    return {
        "schema": SCHEMA,
        "microFrontends": {app: [_version(app, placed, org, base)] for app, placed in found.placed},
    }


def _version(app: str, placed: Placed, org: str, base: str) -> dict[str, Any]:
    integrity = {file.path: file.integrity for file in placed.files}
    return {
        "url": f"{base}/assets/{org}/{app}/{placed.version}/{MANIFEST}",
        "metadata": {"integrity": integrity[MANIFEST], "version": placed.version},
        "extras": {
            "moduleFederation": {
                "name": placed.remote.name,
                "kind": placed.kind,
                "type": placed.remote.type,
                "entry": placed.remote.entry,
                "exposes": list(placed.remote.exposes),
                "integrity": integrity,
            }
        },
        "deployment": {"traffic": 100, "default": True},
    }
