"""What SCIM's operations do: read as a resource, changed by the library's rules, written as one command.

A change is computed here and saved under the revision that it was computed from; who was quicker wins, and
the change is computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError
from scim2_models import Context, PatchOp, Resource, SCIMException, ScimFilter
from starlette.requests import Request

from gateway.door import Door
from gateway.scim.answers import ScimRefused, of_library
from gateway.scim.models import (
    MAX_MEMBERS,
    MAX_RESULTS,
    TOLERANT,
    Group,
    Provisioned,
    User,
    email_of,
    group_of,
    name_of,
    profile_of,
    user_of,
)
from libs.contracts import identity as i
from libs.contracts.base import Command
from libs.errors import Refused

TRIES = 4
PAGE = 1_000
MAX_FILTER_CHARACTERS = 2_000
# A filter that no index serves looks at everybody; beyond this it has to be narrower.
MOST_LOOKED_AT = 50_000

Kind = TypeVar("Kind", bound=Resource[Any])


class Scim:
    """One request of a client of SCIM."""

    def __init__(self, door: Door, request: Request) -> None:
        self._door = door
        public = door.portal.settings.public_url or str(request.base_url)
        self.base = f"{public.rstrip('/')}/scim/v2/{request.path_params['org']}"

    # ---- users ----

    async def user(self, name: str) -> User[Any]:
        return user_of(await self._person(name), self.base)

    async def users(self, text: str | None, start: int, count: int) -> tuple[list[User[Any]], int]:
        scim_filter = _filter(text, Provisioned)
        known = _equality(text)
        if known and known[0] in ("username", "externalid"):
            field = {"username": "user_name", "externalid": "external_id"}[known[0]]
            people = await self._people(**{field: known[1]})
            found = [user_of(person, self.base) for person in people.items]
            return found[start - 1 : start - 1 + count], len(found)
        if scim_filter is None:
            people = await self._people(start=start - 1, limit=count)
            return [user_of(person, self.base) for person in people.items], people.total
        found = []
        for at in range(0, MOST_LOOKED_AT + PAGE, PAGE):
            people = await self._people(start=at, limit=PAGE)
            if people.total > MOST_LOOKED_AT:
                raise ScimRefused.by(
                    400, "tooMany", "too many users for this filter; use userName or externalId"
                )
            users = [user_of(person, self.base) for person in people.items]
            found += [user for user in users if scim_filter.match(user)]
            if at + PAGE >= people.total:
                break
        return found[start - 1 : start - 1 + count], len(found)

    async def create_user(self, payload: Any) -> User[Any]:
        user = _read(Provisioned, payload, Context.RESOURCE_CREATION_REQUEST)
        made: i.ManagedUser = await self._command(
            i.CreateManagedUser,
            user_name=user.user_name,
            email=email_of(user),
            name=name_of(user),
            external_id=user.external_id,
            profile=profile_of(user),
            active=user.active is not False,
        )
        return await self.user(made.id)

    async def replace_user(self, name: str, payload: Any) -> User[Any]:
        def replaced(before: User[Any]) -> User[Any]:
            user = _read(Provisioned, payload, Context.RESOURCE_REPLACEMENT_REQUEST)
            user.replace(before)
            return user

        return await self._change_user(name, replaced)

    async def patch_user(self, name: str, payload: Any) -> User[Any]:
        def patched(before: User[Any]) -> User[Any]:
            _patch(Provisioned, _booleans(payload)).patch(before)
            return before

        return await self._change_user(name, patched)

    async def delete_user(self, name: str) -> None:
        await self._person(name)
        await self._command(i.RemoveMember, user=name)

    async def _change_user(self, name: str, change: Callable[[User[Any]], User[Any]]) -> User[Any]:
        for attempt in range(TRIES):
            person = await self._person(name)
            with TOLERANT:
                user: User[Any] = _judged(partial(change, user_of(person, self.base)))
            try:
                await self._save(person, user)
            except Refused as refusal:
                if refusal.problem().code != "stale_revision" or attempt == TRIES - 1:
                    raise
                continue
            return await self.user(name)
        raise AssertionError("the last try answers or raises")

    async def _save(self, person: i.Person, user: User[Any]) -> None:
        active = user.active is not False
        if not person.managed:
            before = user_of(person, self.base)
            same = profile_of(user) == profile_of(before) and user.user_name == before.user_name
            if not same or user.external_id is not None:
                raise ScimRefused.by(
                    400, "mutability", "this user has an account of their own: only active changes"
                )
            if active != person.active:
                await self._command(i.SetMember, user=person.id, active=active)
            return
        await self._command(
            i.UpdateManagedUser,
            user=person.id,
            user_name=user.user_name,
            email=email_of(user),
            name=name_of(user),
            external_id=user.external_id or "",
            profile=profile_of(user),
            active=active if active != person.active else None,
            if_revision=person.revision,
        )

    async def _person(self, name: str) -> i.Person:
        people = await self._people(user=name)
        if not people.items:
            raise ScimRefused.by(404, "", f"no user {name[:80]}")
        return people.items[0]

    async def _people(self, **asked: Any) -> i.People:
        found: i.People = await self._ask(i.ListPeople, asked)
        return found

    # ---- groups ----

    async def group(self, name: str, with_members: bool = True) -> Group:
        return group_of(await self._team(name, with_members), self.base, with_members)

    async def groups(
        self, text: str | None, start: int, count: int, with_members: bool
    ) -> tuple[list[Group], int]:
        scim_filter = _filter(text, Group)
        known = _equality(text)
        asked: dict[str, Any] = {"with_members": with_members or scim_filter is not None}
        if known and known[0] == "displayname":
            asked["name"] = known[1]
        elif scim_filter is None:
            found = await self._ask(i.ListGroups, {**asked, "start": start - 1, "limit": count})
            return [group_of(one, self.base, with_members) for one in found.items], found.total
        matching = []
        for at in range(0, MOST_LOOKED_AT, PAGE):
            found = await self._ask(i.ListGroups, {**asked, "start": at, "limit": PAGE})
            groups = [(one, group_of(one, self.base)) for one in found.items]
            matching += [one for one, group in groups if scim_filter is None or scim_filter.match(group)]
            if at + PAGE >= found.total:
                break
        shown = matching[start - 1 : start - 1 + count]
        return [group_of(one, self.base, with_members) for one in shown], len(matching)

    async def create_group(self, payload: Any) -> Group:
        group = _read(Group, payload, Context.RESOURCE_CREATION_REQUEST)
        made: i.Group = await self._command(
            i.ProvisionTeam,
            name=group.display_name,
            external_id=group.external_id,
            members=_members(group),
        )
        return group_of(made, self.base)

    async def replace_group(self, name: str, payload: Any) -> Group:
        group = _read(Group, payload, Context.RESOURCE_REPLACEMENT_REQUEST)
        await self._team(name, False)
        return await self._save_group(name, group)

    async def patch_group(self, name: str, payload: Any) -> Group:
        before = await self.group(name)
        with TOLERANT:
            _judged(lambda: _patch(Group, payload).patch(before))
        return await self._save_group(name, before)

    async def delete_group(self, name: str) -> None:
        team = (await self._team(name, False)).team
        await self._command(i.DeleteTeam, slug=team.slug)

    async def _save_group(self, name: str, group: Group) -> Group:
        saved: i.Group = await self._command(
            i.ProvisionTeam,
            team=name,
            name=group.display_name,
            external_id=group.external_id or "",
            members=_members(group),
        )
        return group_of(saved, self.base)

    async def _team(self, name: str, with_members: bool = True) -> i.Group:
        found = await self._ask(i.ListGroups, {"team": name, "with_members": with_members})
        if not found.items:
            raise ScimRefused.by(404, "", f"no group {name[:80]}")
        group: i.Group = found.items[0]
        return group

    # ---- identity ----

    async def _ask(self, query: type[Any], asked: dict[str, Any]) -> Any:
        question = _judged(lambda: query(org=self._door.org, **asked))
        self._door.permit_reading(question)
        return await self._door.portal.asker.query(question, self._door.caller(self._door.org))

    async def _command(self, command: type[Command[Any]], **fields: Any) -> Any:
        """An ordinary command, checked like any other: nothing is allowed because it came by this way."""
        order = _judged(lambda: command.model_validate({"org": self._door.org, **fields}))
        return await self._door.carry_out(order)


def _judged(build: Callable[[], Any]) -> Any:
    try:
        return build()
    except (SCIMException, ValidationError, ValueError) as error:
        raise of_library(error) from None


def _read(kind: type[Kind], payload: Any, context: Context) -> Kind:
    with TOLERANT:
        found: Kind = _judged(lambda: kind.model_validate(_booleans(payload), scim_ctx=context))
        return found


def _patch(kind: type[Kind], payload: Any) -> PatchOp[Any]:
    return PatchOp[kind].model_validate(payload, scim_ctx=Context.RESOURCE_PATCH_REQUEST)  # type: ignore[valid-type]


def _filter(text: str | None, kind: type[Kind]) -> ScimFilter[Any] | None:
    if text is None:
        return None
    if len(text) > MAX_FILTER_CHARACTERS:
        raise ScimRefused.by(400, "invalidFilter", f"longer than {MAX_FILTER_CHARACTERS} characters")
    try:
        return ScimFilter[kind](text)  # type: ignore[valid-type]
    except RecursionError:
        raise ScimRefused.by(400, "invalidFilter", "nested too deep") from None
    except (SCIMException, ValidationError, ValueError) as error:
        raise ScimRefused.by(400, "invalidFilter", str(error)[:300]) from None


def _equality(text: str | None) -> tuple[str, str] | None:
    """`attribute eq "value"` alone, which the database answers; the value without its quotes."""
    parts = (text or "").strip().split(" ", 2)
    if (
        len(parts) != 3
        or parts[1].lower() != "eq"
        or not (parts[2].startswith('"') and parts[2].endswith('"'))
    ):
        return None
    value = parts[2][1:-1]
    attribute = parts[0].removeprefix(f"{User.__schema__}:").removeprefix(f"{Group.__schema__}:")
    return None if '"' in value or "\\" in value else (attribute.lower(), value)


def _booleans(payload: Any) -> Any:
    """Entra writes `"False"` where a boolean belongs."""
    if isinstance(payload, dict):
        return {
            name: _boolean(value) if name.lower() in ("active", "primary", "value") else _booleans(value)
            for name, value in payload.items()
        }
    return [_booleans(one) for one in payload] if isinstance(payload, list) else payload


def _boolean(value: Any) -> Any:
    if isinstance(value, str) and value in ("True", "False"):
        return value == "True"
    return _booleans(value)


def _members(group: Group) -> tuple[str, ...]:
    members = tuple(dict.fromkeys(str(member.value) for member in group.members or [] if member.value))
    if len(members) > MAX_MEMBERS:
        raise ScimRefused.by(413, "tooMany", f"{MAX_MEMBERS} members at most")
    return members


def window(start: int, count: int) -> tuple[int, int]:
    """Odd values mean the nearest that makes sense, as the standard wants it."""
    return max(start, 1), min(max(count, 0), MAX_RESULTS)
