"""Wires identity together and runs it."""

from __future__ import annotations

from typing import Any

from libs.service.service import Service
from libs.store.database import Documents
from services.identity.access import ACCESS
from services.identity.accounts import handlers as accounts
from services.identity.accounts.store import API_KEYS, KEY_USES, SERVICE_ACCOUNTS
from services.identity.assignments import handlers as assignments
from services.identity.assignments.store import ASSIGNMENTS
from services.identity.directory.handlers import DirectoryPages
from services.identity.invitations.handlers import Invitations, list_invitations
from services.identity.invitations.store import INVITATIONS
from services.identity.issuers import handlers as issuers
from services.identity.issuers.store import ISSUERS
from services.identity.keys.handlers import the_keyring
from services.identity.keys.store import KEYRINGS
from services.identity.keys.tokens import TokenMaker
from services.identity.managed import handlers as managed
from services.identity.managed.store import MANAGED
from services.identity.members import handlers as members
from services.identity.members.store import JOINED, MEMBERS
from services.identity.oauth.serving import OAUTH_DOCUMENTS, OAuth, clients_of
from services.identity.organizations import handlers as organizations
from services.identity.organizations.store import ORGANIZATIONS
from services.identity.provisioning import handlers as provisioning
from services.identity.roles import handlers as roles
from services.identity.roles.store import ROLE_DEFINITIONS
from services.identity.settings import IdentitySettings
from services.identity.signing_in import SIGN_IN_DOCUMENTS, SigningIn
from services.identity.teams import handlers as teams
from services.identity.teams.store import TEAM_MEMBERS, TEAMS
from services.identity.users.store import ACCOUNTS
from services.identity.vocabulary import handlers as vocabulary
from services.identity.vocabulary.store import VOCABULARIES

DOCUMENTS: list[Documents[Any]] = [
    *SIGN_IN_DOCUMENTS,
    *OAUTH_DOCUMENTS,
    KEYRINGS,
    ACCOUNTS,
    ORGANIZATIONS,
    MEMBERS,
    JOINED,
    INVITATIONS,
    ACCESS,
    ROLE_DEFINITIONS,
    TEAMS,
    TEAM_MEMBERS,
    ASSIGNMENTS,
    SERVICE_ACCOUNTS,
    API_KEYS,
    KEY_USES,
    VOCABULARIES,
    MANAGED,
    ISSUERS,
]


def main() -> None:
    settings = IdentitySettings()
    service = Service("identity", settings, DOCUMENTS)

    tokens = TokenMaker(settings.issuer, settings.access_token_lifetime)
    clients = clients_of(settings)
    signing_in = SigningIn(service, settings, tokens, clients)
    oauth = OAuth(service, settings, tokens, clients, signing_in.prover, signing_in.sessions)
    invitations = Invitations(tokens)
    trusted = issuers.Issuers(settings.allow_loopback_issuers)
    service.commands(
        organizations.create_organization,
        organizations.update_organization,
        organizations.delete_organization,
        members.set_member,
        members.remove_member,
        invitations.invite_member,
        invitations.accept_invitation,
        provisioning.provision_team,
        managed.create_managed_user,
        managed.update_managed_user,
        managed.admit_foreign_user,
        trusted.register_issuer,
        trusted.update_issuer,
        issuers.remove_issuer,
        vocabulary.set_vocabulary,
        roles.define_role,
        roles.update_role,
        roles.delete_role,
        teams.create_team,
        teams.update_team,
        teams.delete_team,
        teams.add_team_member,
        teams.remove_team_member,
        assignments.assign_role,
        assignments.remove_assignment,
        accounts.create_service_account,
        accounts.delete_service_account,
        accounts.ApiKeys(tokens).create_key,
        accounts.revoke_key,
        accounts.note_keys_used,
    )
    service.queries(
        *signing_in.queries,
        *oauth.queries,
        organizations.list_orgs,
        organizations.get_org,
        members.list_members,
        list_invitations,
        provisioning.list_people,
        provisioning.list_groups,
        managed.get_managed_user,
        managed.list_managed_users,
        issuers.get_issuer,
        issuers.list_issuers,
        vocabulary.get_vocabulary,
        roles.list_roles,
        teams.list_teams,
        teams.get_team,
        teams.list_team_members,
        assignments.list_assignments,
        accounts.list_service_accounts,
        accounts.list_keys,
        DirectoryPages(settings.access_token_lifetime).list_directory,
    )

    async def prepare() -> None:
        tokens.use(await the_keyring(service.journal))
        await signing_in.users.ensure_administrator(
            service.journal, settings.admin_email, settings.admin_password
        )

    service.run(prepare)


if __name__ == "__main__":
    main()
