"""SCIM 2.0: users and groups of an organization, for whoever provisions them. Routes only translate."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from scim2_models import Context, ResourceType, ResponseParameters, Schema, SCIMException
from starlette.responses import Response

from gateway.door import InOrg
from gateway.scim.answers import MEDIA_TYPE, ScimMalformed, ScimRefused, many, nothing, of_library, one
from gateway.scim.models import Group, Provisioned, provider
from gateway.scim.service import Scim, window

router = APIRouter(tags=["provisioning"], prefix="/scim/v2/{org}")
_BODY = {"requestBody": {"content": {MEDIA_TYPE: {"schema": {"type": "object"}}}, "required": True}}
DEFAULT_COUNT = 100


@router.get("/ServiceProviderConfig")
async def configuration(request: Request, door: InOrg) -> Response:
    config = provider(Scim(door, request).base).config
    assert config is not None
    return one(config, Context.RESOURCE_QUERY_RESPONSE)


@router.get("/ResourceTypes")
async def resource_types(request: Request, door: InOrg) -> Response:
    _no_filter(request)
    found = list(provider(Scim(door, request).base).resource_types)
    return many(found, len(found), 1, of=ResourceType)


@router.get("/ResourceTypes/{name}")
async def resource_type(name: str, request: Request, door: InOrg) -> Response:
    for found in provider(Scim(door, request).base).resource_types:
        if found.name == name:
            return one(found, Context.RESOURCE_QUERY_RESPONSE)
    raise ScimRefused.by(404, "", "no such resource type")


@router.get("/Schemas")
async def schemas(request: Request, door: InOrg) -> Response:
    _no_filter(request)
    found = list(provider(Scim(door, request).base).schemas)
    return many(found, len(found), 1, of=Schema)


@router.get("/Schemas/{name}")
async def schema(name: str, request: Request, door: InOrg) -> Response:
    for found in provider(Scim(door, request).base).schemas:
        if found.id == name:
            return one(found, Context.RESOURCE_QUERY_RESPONSE)
    raise ScimRefused.by(404, "", "no such schema")


@router.get("/Users")
async def users(
    request: Request,
    door: InOrg,
    filter: str | None = None,
    startIndex: int = 1,
    count: int = DEFAULT_COUNT,
) -> Response:
    start, limit = window(startIndex, count)
    shown = _shown(request, Provisioned)
    found, total = await Scim(door, request).users(filter, start, limit)
    return many(found, total, start, Provisioned, shown)


@router.post("/Users", status_code=201, openapi_extra=_BODY)
async def create_user(request: Request, door: InOrg) -> Response:
    user = await Scim(door, request).create_user(await _body(request))
    return one(user, Context.RESOURCE_CREATION_RESPONSE, 201, _shown(request, Provisioned))


@router.get("/Users/{managed}")
async def user(managed: str, request: Request, door: InOrg) -> Response:
    found = await Scim(door, request).user(managed)
    return one(found, Context.RESOURCE_QUERY_RESPONSE, shown=_shown(request, Provisioned))


@router.put("/Users/{managed}", openapi_extra=_BODY)
async def replace_user(managed: str, request: Request, door: InOrg) -> Response:
    user = await Scim(door, request).replace_user(managed, await _body(request))
    return one(user, Context.RESOURCE_REPLACEMENT_RESPONSE, shown=_shown(request, Provisioned))


@router.patch("/Users/{managed}", openapi_extra=_BODY)
async def patch_user(managed: str, request: Request, door: InOrg) -> Response:
    user = await Scim(door, request).patch_user(managed, await _body(request))
    return one(user, Context.RESOURCE_PATCH_RESPONSE, shown=_shown(request, Provisioned))


@router.delete("/Users/{managed}", status_code=204)
async def delete_user(managed: str, request: Request, door: InOrg) -> Response:
    await Scim(door, request).delete_user(managed)
    return nothing()


@router.post("/Users/.search", openapi_extra=_BODY)
async def search_users(request: Request, door: InOrg) -> Response:
    asked = _search(await _body(request))
    start, limit = window(asked.start_index or 1, DEFAULT_COUNT if asked.count is None else asked.count)
    found, total = await Scim(door, request).users(asked.filter, start, limit)
    return many(found, total, start, Provisioned, _parameters(asked.shown, Provisioned))


@router.get("/Groups")
async def groups(
    request: Request,
    door: InOrg,
    filter: str | None = None,
    startIndex: int = 1,
    count: int = DEFAULT_COUNT,
) -> Response:
    start, limit = window(startIndex, count)
    shown = _shown(request, Group)
    found, total = await Scim(door, request).groups(filter, start, limit, _with_members(shown))
    return many(found, total, start, Group, shown)


@router.post("/Groups", status_code=201, openapi_extra=_BODY)
async def create_group(request: Request, door: InOrg) -> Response:
    group = await Scim(door, request).create_group(await _body(request))
    return one(group, Context.RESOURCE_CREATION_RESPONSE, 201, _shown(request, Group))


@router.post("/Groups/.search", openapi_extra=_BODY)
async def search_groups(request: Request, door: InOrg) -> Response:
    asked = _search(await _body(request))
    shown = _parameters(asked.shown, Group)
    start, limit = window(asked.start_index or 1, DEFAULT_COUNT if asked.count is None else asked.count)
    found, total = await Scim(door, request).groups(asked.filter, start, limit, _with_members(shown))
    return many(found, total, start, Group, shown)


@router.post("/.search", openapi_extra=_BODY)
async def search(request: Request, door: InOrg) -> Response:
    raise ScimRefused.by(501, "", "search in Users or in Groups")


@router.get("/Groups/{group}")
async def group(group: str, request: Request, door: InOrg) -> Response:
    shown = _shown(request, Group)
    found = await Scim(door, request).group(group, _with_members(shown))
    return one(found, Context.RESOURCE_QUERY_RESPONSE, shown=shown)


@router.put("/Groups/{group}", openapi_extra=_BODY)
async def replace_group(group: str, request: Request, door: InOrg) -> Response:
    found = await Scim(door, request).replace_group(group, await _body(request))
    return one(found, Context.RESOURCE_REPLACEMENT_RESPONSE, shown=_shown(request, Group))


@router.patch("/Groups/{group}", openapi_extra=_BODY)
async def patch_group(group: str, request: Request, door: InOrg) -> Response:
    found = await Scim(door, request).patch_group(group, await _body(request))
    return one(found, Context.RESOURCE_PATCH_RESPONSE, shown=_shown(request, Group))


@router.delete("/Groups/{group}", status_code=204)
async def delete_group(group: str, request: Request, door: InOrg) -> Response:
    await Scim(door, request).delete_group(group)
    return nothing()


class _Search(BaseModel):
    """What a search is asked for by POST, where an address would be too long or is kept in logs."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")

    filter: str | None = None
    start_index: int | None = None
    count: int | None = None
    attributes: list[str] | None = None
    excluded_attributes: list[str] | None = None

    @property
    def shown(self) -> dict[str, Any]:
        named = {"attributes": self.attributes, "excludedAttributes": self.excluded_attributes}
        return {name: value for name, value in named.items() if value}


def _search(body: Any) -> _Search:
    try:
        return _Search.model_validate(body)
    except ValidationError as error:
        raise of_library(error) from None


def _no_filter(request: Request) -> None:
    """Discovery is not filtered: the standard wants that refused rather than ignored."""
    if "filter" in request.query_params:
        raise ScimRefused.by(403, "", "discovery takes no filter")


def _shown(request: Request, kind: type[Any]) -> ResponseParameters[Any] | None:
    named = {
        name: request.query_params[name]
        for name in ("attributes", "excludedAttributes")
        if request.query_params.get(name)
    }
    return _parameters(named, kind) if named else None


def _parameters(named: dict[str, Any], kind: type[Any]) -> ResponseParameters[Any]:
    try:
        bound: Any = ResponseParameters.__class_getitem__(kind)
        found: ResponseParameters[Any] = bound.model_validate(named)
    except (ValidationError, SCIMException) as error:
        raise of_library(error) from None
    return found


def _with_members(shown: ResponseParameters[Any] | None) -> bool:
    """Members may be many, and most who ask for groups do not want them."""
    if shown is None:
        return True
    wanted, unwanted = (
        [str(path).split(":")[-1].lower() for path in paths or ()]
        for paths in (shown.attributes, shown.excluded_attributes)
    )
    return (not wanted or any(name.startswith("members") for name in wanted)) and "members" not in unwanted


async def _body(request: Request) -> Any:
    try:
        found = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        raise ScimMalformed("not JSON") from None
    if not isinstance(found, dict):
        raise ScimMalformed("not an object")
    return found
