"""Every query on second factors."""

from __future__ import annotations

from libs.permissions import PLATFORM
from libs.store.database import Documents, Scope
from services.identity.factors.domain import SecondFactor

SECOND_FACTORS = Documents("second_factors", SecondFactor, key=lambda factor: factor.user)


async def factor(scope: Scope, user: str) -> SecondFactor | None:
    return await scope.of(PLATFORM).get(SECOND_FACTORS, user)
