"""Bodies of requests, as clients send them. Unknown fields are refused, so a typing error is not lost."""

from __future__ import annotations

from pydantic import EmailStr, Field

from libs.contracts.base import Frozen, Name, Slug
from libs.contracts.deploy import Strategy
from libs.contracts.identity import (
    Password,
    PublicKeyCredential,
    Role,
    ShortPassword,
    ShownPassword,
    SignInCode,
    Token,
)
from libs.contracts.registry import Kind, SemVer


class NewUser(Frozen):
    email: EmailStr
    name: Name
    password: Password


class Credentials(Frozen):
    email: EmailStr
    password: ShownPassword
    # Of an authenticator app, or a recovery code.
    code: SignInCode | None = None


class PasswordChange(Frozen):
    password: ShownPassword
    new_password: ShortPassword


class Address(Frozen):
    email: EmailStr


class MailedToken(Frozen):
    token: Token


class NewPassword(Frozen):
    token: Token
    password: ShortPassword


class ShownCode(Frozen):
    code: SignInCode


class ShownPasskey(Frozen):
    """`credential` is what `navigator.credentials` gave, as its `toJSON()` says it."""

    credential: PublicKeyCredential


class NewPasskey(ShownPasskey):
    name: Name


class NewOrganization(Frozen):
    slug: Slug
    name: Name


class Renamed(Frozen):
    name: Name


class MemberChange(Frozen):
    role: Role | None = None
    # False suspends the member: it holds nothing until it is active again.
    active: bool | None = None


class NewInvitation(Frozen):
    email: EmailStr
    role: Role


class Acceptance(Frozen):
    token: Token


class NewApp(Frozen):
    slug: Slug
    name: Name
    kind: Kind


class NewEnvironment(Frozen):
    slug: Slug
    name: Name


class EnvironmentChange(Frozen):
    name: Name | None = None
    locked: bool | None = None


class NewRollout(Frozen):
    app: Slug
    version: SemVer
    strategy: Strategy = Strategy()


class Replay(Frozen):
    service: str = Field(pattern="^(identity|registry|deploy|audit)$")
    ids: tuple[str, ...] = Field(min_length=1, max_length=500)
