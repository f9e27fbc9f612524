"""The bus edge of devices that wait to be let in: load, decide, save."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from libs.contracts.identity import (
    CheckDevice,
    DecideDevice,
    DeviceAsked,
    DeviceStarted,
    PollDevice,
    Polled,
    StartDevice,
)
from libs.oauth import AuthorizationPending, InvalidGrant, SlowDown
from libs.permissions import PLATFORM
from libs.service.request import Request
from libs.store.commit import AlreadyAnswered
from libs.store.database import Scope
from services.identity.keys.tokens import TokenMaker
from services.identity.oauth import server
from services.identity.oauth.browsers import Browsers
from services.identity.oauth.clients import DEVICE, Clients
from services.identity.oauth.devices import domain, store
from services.identity.oauth.devices.domain import Device
from services.identity.oauth.granting import Granting
from services.identity.users.handlers import act_as

PURPOSE = "device"


@dataclass(frozen=True)
class _Credential:
    """A device as Authlib asks for it, at one moment."""

    device: Device
    now: datetime

    def get_client_id(self) -> str:
        return self.device.client

    def get_scope(self) -> str:
        return self.device.scope

    def get_user_code(self) -> str:
        return self.device.user_code

    def is_expired(self) -> bool:
        return self.now >= self.device.expires_at


class Devices:
    def __init__(self, clients: Clients, tokens: TokenMaker, browsers: Browsers, granting: Granting) -> None:
        self._clients = clients
        self._tokens = tokens
        self._browsers = browsers
        self._granting = granting

    async def start_device(self, command: StartDevice, request: Request) -> DeviceStarted:
        client, scope, user_code = server.start_device(
            {"scope": command.scope}, command.client, self._clients.get
        )
        device = domain.begin(
            f"dev_{secrets.token_hex(12)}",
            user_code,
            client.id,
            # A device that does not say gets all that its client may ask for.
            scope or " ".join(client.scopes),
            request.caller.address,
            request.caller.agent,
            request.now,
        )
        answer = DeviceStarted(
            device_code=self._tokens.keyring.seal(PURPOSE, device.id),
            user_code=device.user_code,
            expires_in=int(domain.LIFETIME.total_seconds()),
            interval=device.interval_s,
        )
        await store.save_unrecorded(request, device)
        return answer

    start_device.replays_itself = True  # type: ignore[attr-defined]  # read by the edge

    async def check_device(self, query: CheckDevice, scope: Scope) -> DeviceAsked:
        """For whoever is signed in; others get to guess no codes."""
        now = datetime.now(UTC)
        await self._browsers.must_hold(scope, query.browser, now)
        found = await store.by_user_code(scope, domain.normal(query.user_code))
        return self._view(domain.waiting(found, now))

    async def decide_device(self, command: DecideDevice, request: Request) -> DeviceAsked:
        holder = await self._browsers.must_hold(request.scope, command.browser, request.now)
        act_as(request, holder.account, holder.session.id)
        found = await store.by_user_code(request.scope, domain.normal(command.user_code))
        decided, events = domain.decide(
            found,
            command.approve,
            holder.account.id,
            holder.session.methods,
            holder.session.proved_at,
            request.now,
        )
        changes = [store.DEVICES.put(decided, org=PLATFORM)]
        return await request.commit(changes, events, reply=self._view(decided))

    async def poll_device(self, command: PollDevice, request: Request) -> Polled:
        parts = self._tokens.keyring.unseal(PURPOSE, command.device_code.get_secret_value())
        device = await store.device(request.scope, parts[0]) if parts else None
        form = {"grant_type": DEVICE, "device_code": command.device_code.get_secret_value()}
        decision = (device.user or "", device.decided == "approved") if device and device.decided else None
        credential = _Credential(device, request.now) if device else None
        too_soon = device is not None and domain.is_too_soon(device, request.now)
        try:
            server.check_device(form, command.client, self._clients.get, credential, decision, too_soon)
        except (AuthorizationPending, SlowDown) as not_yet:
            assert device is not None, "checked"
            return await self._not_yet(device, not_yet, request)
        assert device is not None, "checked"
        return await self._let_in(device, request)

    poll_device.replays_itself = True  # type: ignore[attr-defined]  # read by the edge

    async def _not_yet(
        self, device: Device, refusal: AuthorizationPending | SlowDown, request: Request
    ) -> Polled:
        error: Literal["authorization_pending", "slow_down"] = (
            "slow_down" if isinstance(refusal, SlowDown) else "authorization_pending"
        )
        await store.save_unrecorded(request, domain.polled(device, request.now))
        return Polled(error=error)

    async def _let_in(self, device: Device, request: Request) -> Polled:
        if device.session is not None:
            before = await request.journal.recorded(request.id)
            if before is None:
                raise InvalidGrant("the device has its tokens")
            return Polled(tokens=await self._granting.granted_before(before, request))
        assert device.user is not None, "approved"
        assert device.authenticated_at is not None, "approved"
        session, account, changes, events = await self._granting.opening(
            request, device.user, device.client, device.scope, device.methods, device.authenticated_at
        )
        changes.append(store.DEVICES.put(domain.let_in(device, session.id), org=PLATFORM))
        answer = Polled(tokens=self._granting.granted(session, account, request.now))
        recorded = self._granting.recorded(session)
        try:
            return await request.commit(changes, events, reply=answer, recorded=recorded)
        except AlreadyAnswered as answered:
            return Polled(tokens=await self._granting.granted_before(answered.recorded, request))

    def _view(self, device: Device) -> DeviceAsked:
        client = self._clients.get(device.client)
        return device.view(client.name if client else device.client)
