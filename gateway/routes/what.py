"""Applications and their versions. Routes only translate; an upload goes to the object store first."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, File, Form, UploadFile
from starlette.responses import Response

from gateway.bodies import NewApp, Renamed
from gateway.door import InOrg
from gateway.problems import InvalidBody
from libs.contracts import registry as r
from libs.contracts.base import Page
from libs.objects import UPLOADS

router = APIRouter(tags=["what"], prefix="/v1/orgs/{org}/apps")


@router.post("", status_code=201, response_model=r.App)
async def create_app(body: NewApp, door: InOrg) -> Response:
    return await door.command(
        r.CreateApp(org=door.org, slug=body.slug, name=body.name, kind=body.kind), status=201
    )


@router.get("", response_model=Page[r.App])
async def apps(door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(r.ListApps(org=door.org, cursor=cursor, limit=limit))


@router.get("/{app}", response_model=r.App)
async def app(app: str, door: InOrg) -> Response:
    return await door.query(r.GetApp(org=door.org, app=app))


@router.patch("/{app}", response_model=r.App)
async def rename_app(app: str, body: Renamed, door: InOrg) -> Response:
    return await door.command(
        r.UpdateApp(org=door.org, slug=app, name=body.name, if_revision=door.if_revision())
    )


@router.post("/{app}/versions", status_code=201, response_model=r.Version)
async def publish(
    app: str,
    door: InOrg,
    version: Annotated[str, Form()],
    file: Annotated[UploadFile, File()],
    metadata: Annotated[str, Form()] = "{}",
) -> Response:
    """201 for new bytes, 200 for the same bytes again, 409 for other bytes under a version that exists."""
    try:
        described = orjson.loads(metadata)
    except orjson.JSONDecodeError:
        raise InvalidBody("metadata is not JSON", ({"field": "metadata", "message": "not JSON"},)) from None
    content = await file.read()
    command = r.PublishVersion(
        org=door.org,
        app=app,
        version=version,
        upload=hashlib.sha256(content).hexdigest(),
        metadata=described,
    )
    door.permit(command)
    # Before the command, and under its digest: asking again finds the same upload.
    await door.portal.objects.put_as(UPLOADS, command.upload, content)
    return await door.command(command, view=_published)


@router.get("/{app}/versions", response_model=Page[r.VersionSummary])
async def versions(app: str, door: InOrg, cursor: str | None = None, limit: int = 50) -> Response:
    return await door.query(r.ListVersions(org=door.org, app=app, cursor=cursor, limit=limit))


@router.get("/{app}/versions/{version}", response_model=r.Version)
async def version(app: str, version: str, door: InOrg) -> Response:
    return await door.query(r.GetVersion(org=door.org, app=app, version=version))


def _published(reply: Any) -> tuple[int, r.Version]:
    return (201 if reply.created else 200), reply.version
