"""The bus edge of invitations: load, decide, save."""

from __future__ import annotations

import secrets

from libs.contracts.base import Page
from libs.contracts.identity import (
    AcceptInvitation,
    Invitation,
    InvitationWithToken,
    InviteMember,
    ListInvitations,
    Membership,
)
from libs.service.request import Request
from libs.store.commit import AlreadyAnswered, RecordedReply
from libs.store.database import Scope
from services.identity.invitations import domain, store
from services.identity.keys.tokens import TokenMaker
from services.identity.members import domain as members
from services.identity.members import store as joined
from services.identity.organizations import domain as organizations
from services.identity.organizations import store as orgs
from services.identity.repeats import first_answer
from services.identity.roles import store as roles
from services.identity.users.domain import normal
from services.identity.users.handlers import caller_account


class Invitations:
    def __init__(self, tokens: TokenMaker) -> None:
        self._tokens = tokens

    async def invite_member(self, command: InviteMember, request: Request) -> InvitationWithToken:
        recorded = await request.journal.recorded(request.id)
        if recorded:
            # Before any rule: by now the invitation may have been accepted.
            return self._invited_before(recorded, request)
        organizations.known(await orgs.organization(request.scope, command.org), command.org)
        email = normal(command.email)
        member = await joined.by_email(request.scope, email)
        permissions = await roles.permissions_of(request.scope, command.org, command.role)
        invited, events = domain.invite(member, command, _new_id(), permissions, request.caller, request.now)
        # One open invitation for an address: the new one replaces those before it.
        withdrawn = [domain.withdraw(one) for one in await store.open_for(request.scope, email)]
        answer = self._with_token(command.org, invited)
        try:
            return await store.save_invited(request, invited, withdrawn, events, answer)
        except AlreadyAnswered as answered:
            return self._invited_before(answered.recorded, request)

    invite_member.replays_itself = True  # type: ignore[attr-defined]  # read by the edge

    async def accept_invitation(self, command: AcceptInvitation, request: Request) -> Membership:
        account = await caller_account(request)
        claim = self._tokens.invitation_claim(command.token)
        if claim is None:
            raise domain.InvitationNotFound("not an invitation of ours")
        organization, invitation = claim
        before = organizations.known(await orgs.organization(request.scope, organization), organization)
        accepted, events = domain.accept(
            organization,
            await store.invitation(request.scope, organization, invitation),
            account,
            request.now,
        )
        existing = await joined.member(request.scope, organization, account.id)
        org, member, joining = members.join(before, existing, account, accepted.role, request.now)
        changes = [
            *joined.put_changed(before, org),
            *joined.put(organization, member),
            *store.put_all(organization, [accepted]),
        ]
        membership = members.membership(org, member.role)
        return await store.save_accepted(request, changes, [*events, *joining], membership)

    def _invited_before(self, recorded: RecordedReply, request: Request) -> InvitationWithToken:
        invited = Invitation.model_validate_json(first_answer(recorded, request))
        return self._with_token(request.org, invited)

    def _with_token(self, organization: str, invited: Invitation) -> InvitationWithToken:
        token = self._tokens.invitation_token(organization, invited.id)
        return InvitationWithToken(**invited.model_dump(), token=token)


async def list_invitations(query: ListInvitations, scope: Scope) -> Page[Invitation]:
    found = await store.page(scope, query.cursor or "", query.limit + 1)
    items = tuple(found[: query.limit])
    return Page[Invitation](items=items, next=items[-1].id if len(found) > query.limit else None)


def _new_id() -> str:
    return f"inv_{secrets.token_hex(12)}"
