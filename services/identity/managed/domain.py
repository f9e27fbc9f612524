"""Rules of users whom an organization manages. No I/O.

They are members like others, but for how they came: provisioned, or met by a token. Whoever speaks for one is
an issuer that the same organization trusts, so no organization can make one that another would believe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from libs.contracts.base import Caller, Event
from libs.contracts.identity import (
    AdmitForeignUser,
    CreateManagedUser,
    Issuer,
    ManagedUser,
    ManagedUserRemoved,
    ManagedUserSet,
    Member,
    MemberSet,
    MembershipsChanged,
    ProfileChanged,
    UpdateManagedUser,
)
from libs.errors import Conflict, Forbidden, NotFound, StaleRevision
from libs.permissions import OWNER
from services.identity.members.domain import check_grant
from services.identity.organizations.domain import Org, changed, with_owner

MOST_LINKS = 20


class UserNameTaken(Conflict):
    """The organization manages a user of this name, or has a member with this e-mail address."""


class ManagedUserNotFound(NotFound):
    """The organization manages no such user."""


class JoiningNotAllowed(Forbidden):
    """The issuer is trusted, but whoever it speaks for has to be provisioned or linked first."""


class Managed(ManagedUser):
    """A managed user as it is kept. `handle` is the name as names are compared."""

    handle: str

    def view(self) -> ManagedUser:
        return ManagedUser.model_validate(self.model_dump(exclude={"handle"}))


def handle_of(user_name: str) -> str:
    return user_name.strip().casefold()


def link_of(issuer: str, subject: str) -> str:
    return f"{issuer}|{subject}"


def id_for(link: str, organization: str) -> str:
    """The same for whoever asks at the same time, so that nobody is admitted twice."""
    return f"usr_{hashlib.sha256(f'{organization}|{link}'.encode()).hexdigest()[:24]}"


def create(
    org: Org,
    taken: object | None,
    command: CreateManagedUser,
    user: str,
    permissions: Iterable[str],
    caller: Caller,
    now: datetime,
) -> tuple[Org, Managed, Member, list[Event]]:
    """`permissions` are those of the role that the user is to have."""
    check_grant(caller, permissions, org.id)
    if taken:
        raise UserNameTaken(f"{command.user_name} is taken")
    managed = Managed(
        id=user,
        user_name=command.user_name,
        handle=handle_of(command.user_name),
        email=(command.email or "").lower(),
        name=command.name or command.user_name,
        given_name=command.given_name,
        family_name=command.family_name,
        external_id=command.external_id or None,
        profile=command.profile,
        created_at=now,
        changed_at=now,
        revision=1,
    )
    return _joined(org, managed, command.role, command.active, now)


def admit(
    org: Org, issuer: Issuer, command: AdmitForeignUser, now: datetime
) -> tuple[Org, Managed, Member, list[Event]]:
    """Somebody new, as the issuer's settings allow it. Those who made them hold the default role."""
    if not issuer.settings.joining:
        raise JoiningNotAllowed("ask to be provisioned")
    link = link_of(issuer.id, command.subject)
    name = command.name or command.email or command.subject
    managed = Managed(
        id=id_for(link, org.id),
        # Whoever has that address elsewhere is not this one, unless the issuer has made sure of it.
        user_name=link,
        handle=handle_of(link),
        email=(command.email or "").lower(),
        name=name[:200],
        links=(link,),
        created_at=now,
        changed_at=now,
        revision=1,
    )
    return _joined(org, managed, issuer.settings.default_role, True, now)


def recognised(candidate: Managed | None, issuer: Issuer, command: AdmitForeignUser) -> Managed | None:
    """A provisioned user whom the token speaks for: by the issuer's own name for them, or by an address that
    the issuer has verified. Any other address could have been typed in by anybody."""
    if candidate is None or len(candidate.links) >= MOST_LINKS:
        return None
    if any(link.startswith(f"{issuer.id}|") for link in candidate.links):
        return None  # it speaks for them already, under another name
    if candidate.external_id == command.subject:
        return candidate
    address = (command.email or "").lower()
    same = address and address in (candidate.email, candidate.handle)
    return candidate if same and command.email_verified else None


def link(managed: Managed, organization: str, link: str, now: datetime) -> tuple[Managed, list[Event]]:
    linked = _changed(managed, now, links=(*managed.links, link))
    return linked, _told(organization, linked)


def update(
    managed: Managed | None, taken: object | None, command: UpdateManagedUser, now: datetime
) -> tuple[Managed, list[Event]]:
    """What is the membership's, `active`, is decided where memberships are."""
    managed = known(managed, command.user)
    if command.if_revision is not None and command.if_revision != managed.revision:
        raise StaleRevision(f"the newest revision is {managed.revision}")
    fields = command.model_dump(exclude={"org", "user", "active", "if_revision"}, exclude_none=True)
    if "external_id" in fields:
        fields["external_id"] = fields["external_id"] or None
    if "email" in fields:
        fields["email"] = fields["email"].lower()
    if "user_name" in fields:
        fields["handle"] = handle_of(fields["user_name"])
        if taken and fields["handle"] != managed.handle:
            raise UserNameTaken(f"{fields['user_name']} is taken")
    if all(getattr(managed, name) == value for name, value in fields.items()):
        return managed, []
    moved = _changed(managed, now, **fields)
    return moved, _told(command.org, moved)


def as_member(member: Member, managed: Managed) -> Member:
    """The membership shows the user's name and address."""
    if (member.email, member.name) == (managed.email, managed.name):
        return member
    fields = {"email": managed.email, "name": managed.name, "revision": member.revision + 1}
    return member.model_copy(update=fields)


def gone(organization: str, managed: Managed) -> list[Event]:
    return [ManagedUserRemoved(org=organization, user=managed.id), ProfileChanged(user=managed.id)]


def known(managed: Managed | None, user: str) -> Managed:
    if managed is None:
        raise ManagedUserNotFound(f"{user} is not managed here")
    return managed


def _joined(
    org: Org, managed: Managed, role: str, active: bool, now: datetime
) -> tuple[Org, Managed, Member, list[Event]]:
    member = Member(
        user=managed.id,
        email=managed.email,
        name=managed.name,
        role=role,
        since=now,
        active=active,
        revision=1,
    )
    joined = with_owner(org, member.user, True) if role == OWNER and active else changed(org)
    events: list[Event] = [
        *_told(org.id, managed),
        MemberSet(org=org.id, user=member.user, role=role, previous=None, active=active),
        MembershipsChanged(user=member.user),
    ]
    return joined, managed, member, events


def _told(organization: str, managed: Managed) -> list[Event]:
    return [
        ManagedUserSet(org=organization, user=managed.id, user_name=managed.user_name, links=managed.links),
        ProfileChanged(user=managed.id),
    ]


def _changed(managed: Managed, now: datetime, **fields: Any) -> Managed:
    return managed.model_copy(update={**fields, "changed_at": now, "revision": managed.revision + 1})
