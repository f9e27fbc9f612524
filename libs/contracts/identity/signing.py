"""Changing the key that access tokens are signed with."""

from __future__ import annotations

from libs.contracts.base import Command, Event, View


class RotatedKeys(View):
    """Ids of public keys: which one signs now, which one will, and which still verify."""

    current: str
    next: str
    previous: tuple[str, ...] = ()


class RotateKeys(Command[RotatedKeys], permission="key:rotate"):
    """The key that was published as the next one signs from now on."""


class SigningKeysChanged(Event, permission="audit:read"):
    current: str
    next: str

    def topics(self) -> tuple[str, ...]:
        return ("keys",)

    def summary(self) -> str:
        return f"signing key {self.current[:8]}"
