"""Every query on devices that wait to be let in."""

from __future__ import annotations

from libs.permissions import PLATFORM
from libs.store.database import Documents, Index, Scope
from services.identity.oauth.devices.domain import Device

DEVICES = Documents(
    "devices",
    Device,
    key=lambda device: device.id,
    indexes=[
        Index(("user_code",), unique=True),  # what a person types
        Index(("expires_at",), across=True, expire_after_seconds=3_600),  # forgotten by themselves
    ],
)


async def device(scope: Scope, device: str) -> Device | None:
    return await scope.of(PLATFORM).get(DEVICES, device)


async def by_user_code(scope: Scope, user_code: str) -> Device | None:
    return await scope.of(PLATFORM).first(DEVICES, {"user_code": user_code})
