"""Who may do what, as identity keeps it, and as two gateways learn of it: by reading, and by events."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from gateway.access import OrganizationAccess
from libs.bus.rpc import Asker
from libs.contracts.base import Command
from libs.contracts.envelope import Stream
from libs.contracts.identity import (
    AddTeamMember,
    AssignRole,
    CreateKey,
    CreateServiceAccount,
    CreateTeam,
    DefineRole,
    DeleteRole,
    DeleteServiceAccount,
    DeleteTeam,
    DirectoryEntry,
    KeyScope,
    ListDirectory,
    RemoveAssignment,
    RemoveMember,
    RemoveTeamMember,
    RevokeKey,
    SetMember,
    Subject,
    UpdateRole,
)
from libs.errors import Refused
from tests.services.identity.conftest import NOBODY, Person, registered
from tests.services.identity.test_organizations import brings, does


async def entry_of(asker: Asker, org: str) -> DirectoryEntry:
    cursor: str | None = None
    while True:
        page = await asker.query(ListDirectory(cursor=cursor), NOBODY)
        for entry in page.entries:
            if entry.org == org:
                return entry
        cursor = page.next
        assert cursor, "every organization is in the directory"


async def by_reading(asker: Asker, org: str) -> dict[str, Any]:
    access = OrganizationAccess(org)
    access.load(await entry_of(asker, org))
    return picture(access)


async def by_events(asker: Asker, org: str) -> dict[str, Any]:
    access = OrganizationAccess(org)
    for fact in await asker.events_after(Stream("identity", org), 0):
        access.apply(fact)
    return picture(access)


def picture(access: OrganizationAccess) -> dict[str, Any]:
    """Everything that is kept, but what is derived from it and the name."""
    return {name: value for name, value in vars(access).items() if name[0] != "_" and name != "slug"}


async def test_a_gateway_that_starts_knows_what_one_that_followed_knows(
    asker: Asker, ada: Person, eve: Person
) -> None:
    org = (await ada.creates()).id
    await brings(ada, org, eve, "member")
    third = await registered(asker)
    await brings(ada, org, third, "viewer")
    await does(ada, DefineRole(org=org, role="namer", name="Namer", permissions=("app:update",)))
    await does(ada, DefineRole(org=org, role="gone", name="Gone", permissions=("app:read",)))
    await does(ada, UpdateRole(org=org, role="namer", permissions=("app:update", "app:read")))
    await does(ada, DeleteRole(org=org, role="gone"))
    team = await does(ada, CreateTeam(org=org, slug="checkout", name="Checkout"))
    other = await does(ada, CreateTeam(org=org, slug="short", name="Short"))
    await does(ada, CreateTeam(org=org, slug="empty", name="Empty"))
    for slug, person in (("checkout", eve), ("checkout", third), ("short", eve)):
        await does(ada, AddTeamMember(org=org, slug=slug, user=person.user.id))
    await does(ada, RemoveTeamMember(org=org, slug="checkout", user=third.user.id))
    account = await does(ada, CreateServiceAccount(org=org, slug="ci", name="CI"))
    second = await does(ada, CreateServiceAccount(org=org, slug="old", name="Old"))
    for kind, subject, role, path in (
        ("team", team.id, "namer", "orders"),
        ("team", other.id, "viewer", "orders"),
        ("user", eve.user.id, "developer", "orders/production"),
        ("user", third.user.id, "developer", "orders"),
        ("service_account", account.id, "developer", "orders"),
        ("service_account", second.id, "viewer", ""),
    ):
        await does(ada, AssignRole(org=org, subject=Subject(type=kind, id=subject), role=role, path=path))
    held = await does(
        ada, AssignRole(org=org, subject=Subject(type="user", id=eve.user.id), role="viewer", path="stock")
    )
    await does(ada, RemoveAssignment(org=org, assignment=held.id))
    scope = KeyScope(permissions=("app:read",), path="orders")
    await does(ada, CreateKey(org=org, account=account.id, name="kept", scope=scope))
    await does(ada, CreateKey(org=org, account=second.id, name="goes with its account"))
    revoked = await does(ada, CreateKey(org=org, account=account.id, name="revoked"))
    await does(ada, RevokeKey(org=org, account=account.id, key=revoked.id))
    await does(ada, DeleteServiceAccount(org=org, account=second.id))
    await does(ada, DeleteTeam(org=org, slug="short"))
    await does(ada, SetMember(org=org, user=third.user.id, role="developer"))
    await does(ada, RemoveMember(org=org, user=third.user.id))
    read, followed = await by_reading(asker, org), await by_events(asker, org)
    assert read == followed
    # And it is what was done.
    assert followed["members"] == {ada.user.id: "owner", eve.user.id: "member"}
    assert {slug: set(held) for slug, held in followed["roles"].items()} == {
        "namer": {"app:update", "app:read"}
    }
    assert followed["teams"][team.id] == {eve.user.id}
    assert len(followed["teams"]) == 2
    assert {(one.subject, one.role, one.path) for one in followed["assignments"].values()} == {
        (team.id, "namer", "orders"),
        (eve.user.id, "developer", "orders/production"),
        (account.id, "developer", "orders"),
    }
    assert list(followed["accounts"]) == [account.id]
    assert len(followed["keys"]) == 1


async def test_a_suspended_member_is_in_no_picture(asker: Asker, ada: Person, eve: Person) -> None:
    org = (await ada.creates()).id
    await brings(ada, org, eve, "viewer")
    await does(ada, SetMember(org=org, user=eve.user.id, active=False))
    assert await by_reading(asker, org) == await by_events(asker, org)
    assert eve.user.id not in (await entry_of(asker, org)).members


async def outcome(person: Person, command: Command[Any]) -> str:
    try:
        await does(person, command)
    except Refused as refusal:
        return refusal.problem().code
    return "done"


@pytest.mark.parametrize("round_", range(4))
async def test_a_role_is_not_deleted_beside_its_assignment(
    asker: Asker, ada: Person, eve: Person, round_: int
) -> None:
    """Two documents, two replicas, at the same time: one of the two orders must see the other."""
    org = (await ada.creates()).id
    await brings(ada, org, eve, "member")
    role = f"r{round_}-{secrets.token_hex(3)}"
    await does(ada, DefineRole(org=org, role=role, name="R", permissions=("app:read",)))
    subject = Subject(type="user", id=eve.user.id)
    outcomes = await asyncio.gather(
        outcome(ada, DeleteRole(org=org, role=role)),
        outcome(ada, AssignRole(org=org, subject=subject, role=role, path="orders")),
    )
    assert tuple(outcomes) in (("done", "role_not_found"), ("role_in_use", "done"))
    entry = await entry_of(asker, org)
    assert {one.role for one in entry.assignments.values()} <= set(entry.roles)


@pytest.mark.parametrize("round_", range(4))
async def test_nobody_is_put_into_a_team_beside_leaving(
    asker: Asker, ada: Person, eve: Person, round_: int
) -> None:
    org = (await ada.creates()).id
    await brings(ada, org, eve, "member")
    team = await does(ada, CreateTeam(org=org, slug="team", name="Team"))
    outcomes = await asyncio.gather(
        outcome(ada, RemoveMember(org=org, user=eve.user.id)),
        outcome(ada, AddTeamMember(org=org, slug="team", user=eve.user.id)),
    )
    assert outcomes[0] == "done"
    assert outcomes[1] in ("done", "member_not_found")
    assert (await entry_of(asker, org)).teams[team.id] == ()
