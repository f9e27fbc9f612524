"""Organizations, members and invitations, from both sides of the bus."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from libs.bus.rpc import Asker
from libs.contracts.base import Command, Query
from libs.contracts.envelope import Stream
from libs.contracts.identity import (
    AcceptInvitation,
    DeleteOrganization,
    GetOrg,
    InvitationWithToken,
    InviteMember,
    ListDirectory,
    ListInvitations,
    ListMembers,
    ListOrgs,
    RemoveMember,
    Role,
    SetMember,
    UpdateOrganization,
)
from libs.errors import Refused
from libs.permissions import PLATFORM
from tests.services.identity.conftest import NOBODY, Person, a_slug, registered


async def does(person: Person, command: Command[Any], request: str | None = None) -> Any:
    caller = await person.caller()
    return (await person.asker.ask(command, caller, request, repeatable=request is not None)).value


async def refused(person: Person, command: Command[Any]) -> str:
    with pytest.raises(Refused) as refusal:
        await does(person, command)
    return refusal.value.problem().code


async def invites(by: Person, org: str, whom: Person, role: Role = "developer") -> InvitationWithToken:
    answer: InvitationWithToken = await does(by, InviteMember(org=org, email=whom.user.email, role=role))
    return answer


async def brings(by: Person, org: str, whom: Person, role: Role = "developer") -> None:
    invitation = await invites(by, org, whom, role)
    await does(whom, AcceptInvitation(token=invitation.token))


async def slugs(person: Person) -> list[str]:
    page = await person.asker.query(ListOrgs(user=person.user.id), await person.caller())
    return [membership.slug for membership in page.items]


async def types(asker: Asker, org: str) -> list[str]:
    facts = await asker.events_after(Stream("identity", org), 0)
    return [fact.type.removeprefix("identity.") for fact in facts]


async def test_who_creates_an_organization_owns_it(asker: Asker, ada: Person) -> None:
    org = await ada.creates()
    caller = await ada.caller()
    assert await asker.query(GetOrg(org=org.id), caller) == org
    (member,) = (await asker.query(ListMembers(org=org.id), caller)).items
    assert (member.user, member.email, member.role) == (ada.user.id, ada.user.email, "owner")
    (listed,) = (await asker.query(ListOrgs(user=ada.user.id), caller)).items
    assert (listed.org, listed.slug, listed.role) == (org.id, org.slug, "owner")
    assert await types(asker, org.id) == ["organization_created", "member_set"]


async def test_a_slug_is_taken_once_whoever_is_faster(ada: Person) -> None:
    slug = a_slug()
    answers = await asyncio.gather(*(ada.creates(slug) for _ in range(5)), return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert [refusal.problem().code for refusal in refusals] == ["slug_taken"] * 4


async def test_a_creation_that_is_repeated_happens_once(asker: Asker, ada: Person) -> None:
    slug, request = a_slug(), secrets.token_hex(8)
    first, *others = await asyncio.gather(*(ada.creates(slug, request) for _ in range(4)))
    assert all(other == first for other in others)
    assert await slugs(ada) == [slug]
    assert len(await types(asker, first.id)) == 2


async def test_one_user_creates_many_organizations_at_once(ada: Person) -> None:
    created = await asyncio.gather(*(ada.creates() for _ in range(12)))
    assert await slugs(ada) == sorted(org.slug for org in created)


async def test_only_a_user_creates_an_organization(asker: Asker, ada: Person) -> None:
    stranger = Person(asker, ada.user.model_copy(update={"id": "usr_unknown"}))
    with pytest.raises(Refused) as refusal:
        await stranger.creates()
    assert refusal.value.problem().code == "sign_in_required"


async def test_a_renamed_organization_has_its_name_in_every_members_list(
    asker: Asker, ada: Person, eve: Person
) -> None:
    org = await ada.creates()
    await brings(ada, org.id, eve)
    renamed = await does(ada, UpdateOrganization(org=org.id, name="Renamed", if_revision=org.revision))
    assert renamed.name == "Renamed"
    assert renamed.revision == org.revision + 1
    page = await asker.query(ListOrgs(user=eve.user.id), await eve.caller())
    assert [membership.name for membership in page.items] == ["Renamed"]
    head = (await asker.query(ListDirectory(), NOBODY)).platform_sequence
    (told,) = await asker.events_after(Stream("identity", PLATFORM), head - 1)
    assert set(told.topics) == {f"user-orgs/{ada.user.id}", f"user-orgs/{eve.user.id}"}
    stale = UpdateOrganization(org=org.id, name="Again", if_revision=org.revision)
    assert await refused(ada, stale) == "stale_revision"


async def test_a_deleted_organization_is_gone_for_everybody_and_keeps_its_slug(
    asker: Asker, ada: Person, eve: Person
) -> None:
    org = await ada.creates()
    await brings(ada, org.id, eve)
    mallory = await registered(asker)
    invitation = await invites(ada, org.id, mallory)
    caller = await ada.caller()
    await does(ada, DeleteOrganization(org=org.id))
    assert await slugs(ada) == await slugs(eve) == []
    with pytest.raises(Refused) as refusal:
        await asker.query(GetOrg(org=org.id), caller)
    assert refusal.value.problem().code == "organization_not_found"
    assert await refused(mallory, AcceptInvitation(token=invitation.token)) == "organization_not_found"
    with pytest.raises(Refused) as refusal:
        await ada.creates(org.slug)
    assert refusal.value.problem().code == "slug_taken"
    (entry,) = [e for e in (await asker.query(ListDirectory(), NOBODY)).entries if e.org == org.id]
    assert (entry.slug, entry.roles) == (None, {})
    assert (await types(asker, org.id))[-1] == "organization_deleted"
    facts = await asker.events_after(Stream("identity", org.id), 0)
    assert entry.sequence == len(facts)


async def test_the_last_owner_stays_though_two_step_down_at_once(ada: Person, eve: Person) -> None:
    asker = ada.asker
    for _ in range(5):
        org = await ada.creates()
        await brings(ada, org.id, eve, "owner")
        callers = [await ada.caller(), await eve.caller()]
        answers = await asyncio.gather(
            *(
                asker.ask(SetMember(org=org.id, user=caller.subject, role="viewer"), caller)
                for caller in callers
            ),
            return_exceptions=True,
        )
        (refusal,) = [answer for answer in answers if isinstance(answer, Refused)]
        assert refusal.problem().code == "last_owner"
        members = (await asker.query(ListMembers(org=org.id), callers[0])).items
        assert sorted(member.role for member in members) == ["owner", "viewer"]


async def test_the_last_owner_cannot_leave(ada: Person) -> None:
    org = await ada.creates()
    assert await refused(ada, RemoveMember(org=org.id, user=ada.user.id)) == "last_owner"


async def test_a_role_is_changed_for_the_member_the_list_and_the_directory(
    asker: Asker, ada: Person, eve: Person
) -> None:
    org = await ada.creates()
    await brings(ada, org.id, eve, "viewer")
    member = await does(ada, SetMember(org=org.id, user=eve.user.id, role="admin"))
    assert member.role == "admin"
    page = await asker.query(ListOrgs(user=eve.user.id), await eve.caller())
    assert [membership.role for membership in page.items] == ["admin"]
    assert await refused(eve, SetMember(org=org.id, user=ada.user.id, role="viewer")) == "permission_missing"
    assert await refused(eve, SetMember(org=org.id, user=eve.user.id, role="owner")) == "permission_missing"
    assert await refused(eve, SetMember(org=org.id, user="usr_x", role="viewer")) == "member_not_found"


async def test_a_member_leaves_and_loses_everything(asker: Asker, ada: Person, eve: Person) -> None:
    org = await ada.creates()
    await brings(ada, org.id, eve)
    assert await refused(eve, RemoveMember(org=org.id, user=ada.user.id)) == "permission_missing"
    await does(eve, RemoveMember(org=org.id, user=eve.user.id))
    assert await slugs(eve) == []
    assert (await eve.caller()).grants == ()
    assert (await types(asker, org.id))[-1] == "member_removed"
    await brings(ada, org.id, eve, "viewer")
    assert await slugs(eve) == [org.slug]


async def test_members_come_in_pages(asker: Asker, ada: Person, eve: Person) -> None:
    org = await ada.creates()
    await brings(ada, org.id, eve)
    caller = await ada.caller()
    first = await asker.query(ListMembers(org=org.id, limit=1), caller)
    second = await asker.query(ListMembers(org=org.id, limit=1, cursor=first.next), caller)
    assert second.next is None
    found = [member.user for member in (*first.items, *second.items)]
    assert found == sorted([ada.user.id, eve.user.id])


async def test_an_invitation_brings_one_person_in_once(asker: Asker, ada: Person, eve: Person) -> None:
    org = await ada.creates()
    invitation = await invites(ada, org.id, eve, "admin")
    mallory = await registered(asker)
    assert await refused(mallory, AcceptInvitation(token=invitation.token)) == "invitation_of_another"
    accepting = AcceptInvitation(token=invitation.token)
    joined = await does(eve, accepting)
    assert (joined.org, joined.slug, joined.role) == (org.id, org.slug, "admin")
    assert await refused(eve, accepting) == "invitation_not_found"
    (listed,) = (await asker.query(ListInvitations(org=org.id), await ada.caller())).items
    assert listed.state == "accepted"
    assert "token" not in listed.model_dump()
    changed = [kind for kind in await types(asker, org.id) if kind != "attempt_refused"]
    assert changed[2:] == ["member_invited", "invitation_accepted", "member_set"]


async def test_two_acceptances_at_once_are_one(ada: Person, eve: Person) -> None:
    org = await ada.creates()
    invitation = await invites(ada, org.id, eve)
    accepting = [does(eve, AcceptInvitation(token=invitation.token)) for _ in range(4)]
    answers = await asyncio.gather(*accepting, return_exceptions=True)
    assert sum(isinstance(answer, Refused) for answer in answers) == 3


async def test_a_repeated_invitation_shows_the_same_token(ada: Person, eve: Person) -> None:
    org = await ada.creates()
    command = InviteMember(org=org.id, email=eve.user.email, role="viewer")
    request = secrets.token_hex(8)
    first = await does(ada, command, request)
    await does(eve, AcceptInvitation(token=first.token))
    assert await does(ada, command, request) == first


async def test_a_new_invitation_replaces_the_one_before(ada: Person, eve: Person) -> None:
    org = await ada.creates()
    first = await invites(ada, org.id, eve, "admin")
    second = await invites(ada, org.id, eve, "viewer")
    assert await refused(eve, AcceptInvitation(token=first.token)) == "invitation_not_found"
    assert (await does(eve, AcceptInvitation(token=second.token))).role == "viewer"


async def test_nobody_invites_above_themselves_and_no_forged_token_is_accepted(
    ada: Person, eve: Person
) -> None:
    org = await ada.creates()
    await brings(ada, org.id, eve, "admin")
    above = InviteMember(org=org.id, email="new@example.com", role="owner")
    assert await refused(eve, above) == "permission_missing"
    assert await refused(eve, AcceptInvitation(token=f"{org.id}.inv_1.forged")) == "invitation_not_found"


async def test_another_tenant_reads_and_changes_nothing(asker: Asker, ada: Person, eve: Person) -> None:
    org = await ada.creates()
    await eve.creates()
    caller = await eve.caller()
    queries: list[Query[Any]] = [
        GetOrg(org=org.id),
        ListMembers(org=org.id),
        ListInvitations(org=org.id),
    ]
    for query in queries:
        with pytest.raises(Refused) as refusal:
            await asker.query(query, caller)
        assert refusal.value.problem().code == "permission_missing"
    orders: list[Command[Any]] = [
        UpdateOrganization(org=org.id, name="Mine"),
        DeleteOrganization(org=org.id),
        SetMember(org=org.id, user=ada.user.id, role="viewer"),
        RemoveMember(org=org.id, user=ada.user.id),
        InviteMember(org=org.id, email=eve.user.email, role="viewer"),
    ]
    for order in orders:
        assert await refused(eve, order) == "permission_missing"
