"""A client of the portal for tests: people, organizations, applications, builds. HTTP only, as users do."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PASSWORD = "correct horse battery staple"
DEMO = Path(__file__).parent.parent / "clients" / "demo" / "dist"


def a_slug(prefix: str = "t") -> str:
    return f"{prefix}-{secrets.token_hex(5)}"


def a_build(
    name: str = "orders", version: str = "1.0.0", extra: dict[str, bytes] | None = None
) -> dict[str, bytes]:
    """A small build that a registry accepts: a manifest, its entry, one exposed module."""
    manifest = {
        "id": name,
        "name": name,
        "metaData": {
            "name": name,
            "globalName": name,
            "publicPath": "auto",
            "buildInfo": {"buildVersion": version, "buildName": name},
            "remoteEntry": {"name": "remoteEntry.js", "path": "", "type": "global"},
            "types": {"path": "", "name": "", "zip": "", "api": ""},
            "pluginVersion": "2.9.2",
        },
        "shared": [],
        "remotes": [],
        "exposes": [
            {
                "id": f"{name}:Page",
                "name": "Page",
                "path": "./Page",
                "assets": {"js": {"sync": ["page.js"], "async": []}, "css": {"sync": [], "async": []}},
            }
        ],
    }
    return {
        "mf-manifest.json": json.dumps(manifest).encode(),
        "remoteEntry.js": f"var {name}; /* {version} */".encode(),
        "page.js": f"export default '{name} {version}'".encode(),
        **(extra or {}),
    }


def a_tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def a_zip(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return packed.getvalue()


def a_folder(path: Path) -> dict[str, bytes]:
    """A real build from a folder."""
    return {
        str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()
    }


@dataclass
class Person:
    """Somebody who is signed in. `http` sends their token."""

    email: str
    id: str
    token: str
    refresh_token: str
    http: httpx.AsyncClient
    orgs: list[str] = field(default_factory=list)

    async def call(self, method: str, path: str, status: int | None = None, **kwargs: Any) -> httpx.Response:
        """Asserts the status, if one is given, and shows the answer when it is another."""
        response = await self.http.request(method, path, **kwargs)
        assert status is None or response.status_code == status, (
            f"{response.status_code}: {response.text[:600]}"
        )
        return response

    async def make_org(self, slug: str | None = None) -> str:
        slug = slug or a_slug("org")
        await self.call("POST", "/v1/orgs", 201, json={"slug": slug, "name": slug.title()})
        self.orgs.append(slug)
        return slug

    async def make_app(self, org: str, slug: str | None = None, kind: str = "remote") -> str:
        slug = slug or a_slug("app")
        await self.call("POST", f"/v1/orgs/{org}/apps", 201, json={"slug": slug, "name": slug, "kind": kind})
        return slug

    async def publish(
        self, org: str, app: str, version: str, files: dict[str, bytes] | None = None, status: int = 201
    ) -> httpx.Response:
        archive = a_tar(files if files is not None else a_build(version=version))
        return await self.call(
            "POST",
            f"/v1/orgs/{org}/apps/{app}/versions",
            status,
            files={"file": ("build.tar.gz", archive)},
            data={"version": version},
        )

    async def roll_out(
        self, org: str, app: str, version: str, env: str = "production", status: int = 201
    ) -> httpx.Response:
        return await self.call(
            "POST",
            f"/v1/orgs/{org}/environments/{env}/rollouts",
            status,
            json={"app": app, "version": version},
        )

    async def invite(self, org: str, other: Person, role: str) -> None:
        """Makes the other a member, through the front door."""
        invited = await self.call(
            "POST", f"/v1/orgs/{org}/invitations", 201, json={"email": other.email, "role": role}
        )
        await other.call("POST", "/v1/invitations/accept", 201, json={"token": invited.json()["token"]})


async def somebody(url: str, email: str | None = None) -> Person:
    """Registers and signs in a new person."""
    email = email or f"{secrets.token_hex(6)}@example.org"
    http = httpx.AsyncClient(base_url=url, timeout=20)
    made = await http.post("/v1/users", json={"email": email, "name": "Test Person", "password": PASSWORD})
    assert made.status_code == 201, made.text
    return await signed_in(url, email, PASSWORD, made.json()["id"], http)


async def signed_in(
    url: str, email: str, password: str, user: str = "", http: httpx.AsyncClient | None = None
) -> Person:
    http = http or httpx.AsyncClient(base_url=url, timeout=20)
    session = await http.post("/v1/sessions", json={"email": email, "password": password})
    assert session.status_code == 201, session.text
    tokens = session.json()
    http.headers["authorization"] = f"Bearer {tokens['access_token']}"
    return Person(email, user, tokens["access_token"], tokens["refresh_token"], http)
