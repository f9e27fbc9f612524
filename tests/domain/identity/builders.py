"""Values for tests; each shows only what matters to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from libs.contracts.base import Caller
from libs.contracts.identity import Invitation, Member, Role
from libs.permissions import Grant
from services.identity.organizations.domain import Org
from services.identity.sessions.domain import Session
from services.identity.users.domain import Account

NOW = datetime(2031, 3, 4, 12, 0, tzinfo=UTC)
LIFETIME = timedelta(days=30)
ORG = "org_acme"


def an_account(user: str = "usr_ada", email: str = "ada@example.com", operator: bool = False) -> Account:
    return Account(
        id=user,
        email=email,
        name="Ada",
        created_at=NOW,
        password_hash="$argon2id$…",
        operator=operator,
        revision=1,
    )


def an_org(*owners: str, edition: int = 1, deleted: bool = False) -> Org:
    return Org(
        id=ORG,
        slug="acme",
        name="Acme",
        created_at=NOW,
        owners=owners or ("usr_ada",),
        edition=edition,
        deleted_at=NOW if deleted else None,
        revision=3,
    )


def a_member(user: str = "usr_ada", role: Role = "developer") -> Member:
    return Member(user=user, email=f"{user}@example.com", name=user, role=role, since=NOW, revision=1)


def a_caller(role: str | None = None, user: str = "usr_boss") -> Caller:
    return Caller(subject=user, grants=(Grant(role, ORG),) if role else ())


def a_session(generation: int = 3, turned: datetime = NOW, ended: bool = False) -> Session:
    return Session(
        id="ses_1",
        user="usr_ada",
        generation=generation,
        opened_at=NOW,
        turned_at=turned,
        expires_at=turned + LIFETIME,
        ended_at=NOW if ended else None,
        reason="signed_out" if ended else None,
        revision=generation,
    )


def an_invitation(email: str = "ada@example.com", role: Role = "developer") -> Invitation:
    return Invitation(
        id="inv_1",
        email=email,
        role=role,
        invited_by="usr_boss",
        expires_at=NOW + timedelta(days=7),
        state="open",
        revision=1,
    )
