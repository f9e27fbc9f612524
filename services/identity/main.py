"""Wires identity together and runs it."""

from __future__ import annotations

from typing import Any

from libs.service.service import Service
from libs.store.database import Documents
from services.identity.directory.handlers import DirectoryPages
from services.identity.invitations.handlers import Invitations, list_invitations
from services.identity.invitations.store import INVITATIONS
from services.identity.keys.handlers import Keys, the_keyring
from services.identity.keys.store import KEYRINGS
from services.identity.keys.tokens import TokenMaker
from services.identity.members import handlers as members
from services.identity.members.store import JOINED, MEMBERS
from services.identity.organizations import handlers as organizations
from services.identity.organizations.store import ORGANIZATIONS
from services.identity.sessions.handlers import Sessions
from services.identity.sessions.store import SESSIONS
from services.identity.settings import IdentitySettings
from services.identity.users.handlers import Users, get_me
from services.identity.users.passwords import Passwords
from services.identity.users.store import ACCOUNTS

DOCUMENTS: list[Documents[Any]] = [
    KEYRINGS,
    ACCOUNTS,
    SESSIONS,
    ORGANIZATIONS,
    MEMBERS,
    JOINED,
    INVITATIONS,
]


def main() -> None:
    settings = IdentitySettings()
    documents: list[Documents[Any]] = [
        KEYRINGS,
        ACCOUNTS,
        SESSIONS,
        ORGANIZATIONS,
        MEMBERS,
        JOINED,
        INVITATIONS,
    ]
    service = Service("identity", settings, documents)

    passwords = Passwords(settings.argon2_memory_kib, settings.argon2_passes, settings.argon2_lanes)
    tokens = TokenMaker(settings.issuer, settings.access_token_lifetime)
    users = Users(passwords)
    sessions = Sessions(passwords, tokens, settings.refresh_token_lifetime)
    invitations = Invitations(tokens)
    service.commands(
        users.register_user,
        sessions.open_session,
        sessions.refresh_session,
        sessions.end_session,
        organizations.create_organization,
        organizations.update_organization,
        organizations.delete_organization,
        members.set_member,
        members.remove_member,
        invitations.invite_member,
        invitations.accept_invitation,
    )
    service.queries(
        get_me,
        organizations.list_orgs,
        organizations.get_org,
        members.list_members,
        list_invitations,
        Keys(tokens).get_keys,
        DirectoryPages(settings.access_token_lifetime).list_directory,
    )

    async def prepare() -> None:
        tokens.use(await the_keyring(service.journal))
        await users.ensure_administrator(service.journal, settings.admin_email, settings.admin_password)

    service.run(prepare)


if __name__ == "__main__":
    main()
