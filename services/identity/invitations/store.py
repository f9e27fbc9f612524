"""Every query on invitations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from libs.contracts.base import Event
from libs.contracts.identity import Invitation, InvitationWithToken, Membership
from libs.service.request import Request
from libs.store.database import Change, Documents, Index, Scope

INVITATIONS = Documents(
    "invitations",
    Invitation,
    key=lambda invitation: invitation.id,
    indexes=[
        Index(("id",)),  # pages of an organization
        Index(("state", "email")),  # the open ones; the open one of an address
    ],
)


async def invitation(scope: Scope, organization: str, invitation: str) -> Invitation | None:
    return await scope.of(organization).get(INVITATIONS, invitation)


async def open_ones(scope: Scope) -> list[Invitation]:
    return await scope.find(INVITATIONS, {"state": "open"})


async def open_for(scope: Scope, email: str) -> list[Invitation]:
    return await scope.find(INVITATIONS, {"state": "open", "email": email})


async def page(scope: Scope, after: str, limit: int) -> list[Invitation]:
    return await scope.find(INVITATIONS, {"id": {"$gt": after}}, sort="id", limit=limit)


def put_all(organization: str, invitations: Iterable[Invitation]) -> list[Change]:
    return [INVITATIONS.put(one, org=organization) for one in invitations]


async def save_invited(
    request: Request,
    invited: Invitation,
    withdrawn: Sequence[Invitation],
    events: Sequence[Event],
    answer: InvitationWithToken,
) -> InvitationWithToken:
    """The record has the invitation without its token."""
    changes = put_all(request.org, [invited, *withdrawn])
    return await request.commit(changes, events, reply=answer, recorded=invited)


async def save_accepted(
    request: Request, changes: Sequence[Change], events: Sequence[Event], membership: Membership
) -> Membership:
    return await request.commit(changes, events, reply=membership)
