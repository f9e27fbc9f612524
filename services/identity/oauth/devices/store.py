"""Every query on devices that wait to be let in."""

from __future__ import annotations

from libs.permissions import PLATFORM
from libs.service.request import Request
from libs.store.commit import Commit
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


async def save_unrecorded(request: Request, device: Device) -> None:
    """Under no request id. Whoever asks for codes proves nothing, so nobody is told those of another again,
    whatever the id; and whoever asks whether it is time yet is told how it is now."""
    commit = Commit(
        org=PLATFORM, changes=[DEVICES.put(device)], events=[], author=request.author(), now=request.now
    )
    await request.journal.commit(commit)
    request.reached = commit.reached


async def device(scope: Scope, device: str) -> Device | None:
    return await scope.of(PLATFORM).get(DEVICES, device)


async def by_user_code(scope: Scope, user_code: str) -> Device | None:
    return await scope.of(PLATFORM).first(DEVICES, {"user_code": user_code})
