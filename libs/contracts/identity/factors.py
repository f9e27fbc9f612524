"""What people sign in with beside a password: authenticator apps, recovery codes, passkeys."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from libs.contracts.base import Command, Event, Moment, Name, Page, Query, Resource, View, topic
from libs.contracts.identity.people import SignInCode, Tokens

# What `navigator.credentials` gave, in the JSON form of WebAuthn level 3; what is in it is for its verifier.
PublicKeyCredential = Annotated[dict[str, Any], Field(min_length=1, max_length=16)]


class Factors(View):
    """What an account is protected with."""

    totp: bool
    recovery_codes_left: int
    passkeys: int


class NewTotp(View):
    """Shown once, to be entered into an authenticator app; counts once it is confirmed with a code."""

    secret: str
    uri: str


class RecoveryCodes(View):
    """Shown once; each of them is good for one sign-in."""

    codes: tuple[str, ...]


class EnrolTotp(Command[NewTotp]):
    """Starts anew while there is none that is confirmed."""


class ConfirmTotp(Command[RecoveryCodes]):
    code: SignInCode

    def attempt(self) -> dict[str, Any]:
        return {}


class RemoveTotp(Command[None]):
    """Takes the recovery codes along."""


class ReplaceRecoveryCodes(Command[RecoveryCodes]):
    """The former ones are no longer good."""


class GetFactors(Query[Factors]):
    user: str

    def topics(self) -> tuple[str, ...]:
        return (topic("factors", self.user),)


class Passkey(Resource):
    id: str
    name: str
    created_at: Moment
    # To the hour.
    used_at: Moment | None = None
    # Kept by a password manager or a phone's account, and so on several devices.
    synced: bool = False


class Challenge(View):
    """Options for `navigator.credentials`, in the JSON form of WebAuthn level 3. Good once, for minutes."""

    options: dict[str, Any]


class StartPasskeySignIn(Command[Challenge]):
    """For whoever wants to sign in; which account that is, the passkey tells."""


class OpenSessionWithPasskey(Command[Tokens]):
    credential: PublicKeyCredential

    def attempt(self) -> dict[str, Any]:
        return {}


class StartPasskey(Command[Challenge]):
    """For a new passkey of the caller."""


class AddPasskey(Command[Passkey]):
    name: Name
    credential: PublicKeyCredential

    def attempt(self) -> dict[str, Any]:
        return {"name": self.name}


class RemovePasskey(Command[None]):
    passkey: str


class ListPasskeys(Query[Page[Passkey]]):
    user: str

    def topics(self) -> tuple[str, ...]:
        return (topic("factors", self.user),)


class _FactorEvent(Event, permission="audit:read"):
    user: str

    def topics(self) -> tuple[str, ...]:
        return (topic("factors", self.user),)


class TotpConfirmed(_FactorEvent, permission="audit:read"):
    def summary(self) -> str:
        return "authenticator app added"


class TotpRemoved(_FactorEvent, permission="audit:read"):
    def summary(self) -> str:
        return "authenticator app removed"


class RecoveryCodesReplaced(_FactorEvent, permission="audit:read"):
    def summary(self) -> str:
        return "recovery codes replaced"


class RecoveryCodeUsed(_FactorEvent, permission="audit:read"):
    left: int

    def summary(self) -> str:
        return f"recovery code used, {self.left} left"


class PasskeyAdded(_FactorEvent, permission="audit:read"):
    passkey: str
    name: str

    def summary(self) -> str:
        return f"passkey {self.name} added"


class PasskeyUsed(_FactorEvent, permission="audit:read"):
    passkey: str

    def summary(self) -> str:
        return "passkey used"


class PasskeyRemoved(_FactorEvent, permission="audit:read"):
    passkey: str
    name: str

    def summary(self) -> str:
        return f"passkey {self.name} removed"
