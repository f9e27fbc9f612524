"""Reading `mf-manifest.json`: what it must hold, which files it names, what a shell needs of it. No I/O."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import ValidationError

from libs.contracts.registry import Kind, Remote, is_shallow
from libs.errors import Invalid
from services.registry.versions.archive import MANIFEST

# It is kept with the version and travels with it; those of real builds have some kilobytes.
MAX_MANIFEST_BYTES = 1024 * 1024
# Of the files that are missing, so many are named.
MOST_NAMED = 20


class ManifestMissing(Invalid):
    """The build has no mf-manifest.json at its root."""


class ManifestInvalid(Invalid):
    """The manifest is not JSON, or lacks what every build of Module Federation writes."""


class FilesMissing(Invalid):
    """The manifest names files that are not in the build."""


def read(files: dict[str, bytes], kind: Kind) -> tuple[dict[str, Any], Remote]:
    """The manifest as it is, and what a shell needs of it, checked against the files."""
    if MANIFEST not in files:
        raise ManifestMissing(f"{MANIFEST} is not in the build")
    if len(files[MANIFEST]) > MAX_MANIFEST_BYTES:
        raise ManifestInvalid(f"larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        manifest = orjson.loads(files[MANIFEST])
        if not is_shallow(manifest):
            raise ManifestInvalid("nested too deep")
        remote = _remote(manifest, kind)
        named = _named(manifest)
    except ValidationError as error:
        raise ManifestInvalid(
            "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())
        ) from error
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ManifestInvalid(f"{type(error).__name__}: {error}") from error
    missing = sorted(named - files.keys())
    if missing:
        raise FilesMissing(
            f"{len(missing)} files are named but not there",
            errors=tuple(
                {"field": "file", "message": "not in the build", "path": path[:200]}
                for path in missing[:MOST_NAMED]
            ),
        )
    return manifest, remote


def _remote(manifest: dict[str, Any], kind: Kind) -> Remote:
    meta = manifest["metaData"]
    if "getPublicPath" in meta:
        # It is code that every page would evaluate.
        raise ManifestInvalid("getPublicPath is not accepted; build with publicPath 'auto'")
    if meta.get("publicPath") != "auto":
        raise ManifestInvalid("publicPath must be 'auto', so that the build works under any address")
    entry = meta["remoteEntry"]
    path = _join(entry.get("path", ""), entry["name"])
    if kind == "remote" and not path:
        raise ManifestInvalid("a remote needs a remoteEntry")
    return Remote(
        name=manifest["name"],
        entry=path,
        type=entry.get("type", "global"),
        exposes=tuple(expose["path"] for expose in manifest["exposes"]),
    )


def _named(manifest: dict[str, Any]) -> set[str]:
    meta = manifest["metaData"]
    entry = meta["remoteEntry"]
    types = meta.get("types") or {}
    folder = types.get("path", "")
    named = {
        _join(entry.get("path", ""), entry["name"]),
        _join(folder, types.get("zip", "")),
        _join(folder, types.get("api", "")),
    }
    for part in (*manifest["shared"], *manifest["exposes"]):
        for group in part["assets"].values():
            named |= {_join("", path) for when in ("sync", "async") for path in group.get(when, ())}
    return named - {""}


def _join(folder: str, name: str) -> str:
    if not name:
        return ""
    return f"{folder.strip('/')}/{name}".lstrip("/") if folder.strip("./") else name.removeprefix("./")
