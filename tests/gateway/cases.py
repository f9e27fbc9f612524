"""What the tests of tenants send to each route and query: a request that would be done for who may.

A route or query that is new fails `test_tenants_apart` until it has its line here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.portal import a_build, a_tar


@dataclass(frozen=True)
class Case:
    """A request that a member with the right would get done, and whether a viewer has that right."""

    viewer_may: bool
    body: dict[str, Any] = field(default_factory=dict)
    # What a viewer is told, where it is not that a permission is missing.
    refused: str = "permission_missing"
    # What a viewer's reading is answered with.
    status: int = 200


READ = Case(viewer_may=True)
SCIM_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
SCIM_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
SCIM_PATCH = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations": [{"op": "replace", "path": "displayName", "value": "Mine"}],
}
TRUST_RULE = {
    "issuer": "https://token.actions.githubusercontent.com",
    "audience": "portal",
    "claims": {"repository_id": "1"},
}
ISSUER = {"kind": "oidc", "issuer": "https://id.example.org", "audiences": ["mine"]}
UPLOAD = {"files": {"file": ("build.tar.gz", a_tar(a_build(version="9.0.0")))}, "data": {"version": "9.0.0"}}
CASES: dict[str, Case] = {
    "GET /v1/orgs/{org}": READ,
    "PATCH /v1/orgs/{org}": Case(False, {"json": {"name": "Taken over"}}),
    "DELETE /v1/orgs/{org}": Case(False),
    "GET /v1/orgs/{org}/members": READ,
    "PUT /v1/orgs/{org}/members/{user}": Case(False, {"json": {"role": "viewer"}}),
    "DELETE /v1/orgs/{org}/members/{user}": Case(False),
    "POST /v1/orgs/{org}/invitations": Case(False, {"json": {"email": "me@example.org", "role": "viewer"}}),
    "GET /v1/orgs/{org}/invitations": Case(False),
    "POST /v1/orgs/{org}/apps": Case(False, {"json": {"slug": "mine", "name": "Mine", "kind": "remote"}}),
    "GET /v1/orgs/{org}/apps": READ,
    "GET /v1/orgs/{org}/apps/{app}": READ,
    "PATCH /v1/orgs/{org}/apps/{app}": Case(False, {"json": {"name": "Mine"}}),
    "POST /v1/orgs/{org}/apps/{app}/versions": Case(False, UPLOAD),
    "GET /v1/orgs/{org}/apps/{app}/versions": READ,
    "GET /v1/orgs/{org}/apps/{app}/versions/{version}": READ,
    "GET /v1/orgs/{org}/environments": READ,
    "POST /v1/orgs/{org}/environments": Case(False, {"json": {"slug": "mine", "name": "Mine"}}),
    "GET /v1/orgs/{org}/environments/{env}": READ,
    "PATCH /v1/orgs/{org}/environments/{env}": Case(False, {"json": {"locked": True}}),
    "GET /v1/orgs/{org}/environments/{env}/apps": READ,
    "POST /v1/orgs/{org}/environments/{env}/rollouts": Case(
        False, {"json": {"app": "{app}", "version": "1.0.0"}}
    ),
    "GET /v1/orgs/{org}/environments/{env}/rollouts": READ,
    "POST /v1/orgs/{org}/environments/{env}/apps/{app}/rollback": Case(False),
    "GET /v1/orgs/{org}/rollouts/{rollout}": READ,
    "GET /v1/orgs/{org}/audit/events": Case(False),
    "GET /v1/orgs/{org}/roles": READ,
    "POST /v1/orgs/{org}/roles": Case(
        False, {"json": {"role": "mine", "name": "Mine", "permissions": ["app:read"]}}
    ),
    "PATCH /v1/orgs/{org}/roles/{role}": Case(False, {"json": {"name": "Mine"}}),
    "DELETE /v1/orgs/{org}/roles/{role}": Case(False),
    "GET /v1/orgs/{org}/service-accounts/{account}/trust-rules": Case(False),
    "POST /v1/orgs/{org}/service-accounts/{account}/trust-rules": Case(False, {"json": TRUST_RULE}),
    "DELETE /v1/orgs/{org}/service-accounts/{account}/trust-rules/{rule}": Case(False),
    "GET /v1/orgs/{org}/identity-providers": Case(False),
    "POST /v1/orgs/{org}/identity-providers": Case(False, {"json": {"name": "Mine", "settings": ISSUER}}),
    "GET /v1/orgs/{org}/identity-providers/{issuer}": Case(False),
    "PATCH /v1/orgs/{org}/identity-providers/{issuer}": Case(False, {"json": {"name": "Mine"}}),
    "DELETE /v1/orgs/{org}/identity-providers/{issuer}": Case(False),
    "GET /v1/orgs/{org}/managed-users": READ,
    "POST /v1/orgs/{org}/managed-users": Case(False, {"json": {"user_name": "mine"}}),
    "GET /v1/orgs/{org}/managed-users/{managed}": READ,
    "PATCH /v1/orgs/{org}/managed-users/{managed}": Case(False, {"json": {"name": "Mine"}}),
    "GET /scim/v2/{org}/ServiceProviderConfig": READ,
    "GET /scim/v2/{org}/ResourceTypes": READ,
    "GET /scim/v2/{org}/ResourceTypes/{name}": READ,
    "GET /scim/v2/{org}/Schemas": READ,
    "GET /scim/v2/{org}/Schemas/{name}": Case(True, status=404),
    "GET /scim/v2/{org}/Users": READ,
    "POST /scim/v2/{org}/Users": Case(False, {"json": {"userName": "mine", "schemas": [SCIM_USER]}}),
    "GET /scim/v2/{org}/Users/{managed}": READ,
    "PUT /scim/v2/{org}/Users/{managed}": Case(False, {"json": {"userName": "mine", "schemas": [SCIM_USER]}}),
    "PATCH /scim/v2/{org}/Users/{managed}": Case(False, {"json": SCIM_PATCH}),
    "DELETE /scim/v2/{org}/Users/{managed}": Case(False),
    "POST /scim/v2/{org}/Users/.search": Case(True, {"json": {"count": 1}}),
    "POST /scim/v2/{org}/Groups/.search": Case(True, {"json": {"count": 1}}),
    "POST /scim/v2/{org}/.search": Case(True, {"json": {"count": 1}}, status=501),
    "GET /scim/v2/{org}/Groups": READ,
    "POST /scim/v2/{org}/Groups": Case(False, {"json": {"displayName": "Mine", "schemas": [SCIM_GROUP]}}),
    "GET /scim/v2/{org}/Groups/{group}": READ,
    "PUT /scim/v2/{org}/Groups/{group}": Case(
        False, {"json": {"displayName": "Mine", "schemas": [SCIM_GROUP]}}
    ),
    "PATCH /scim/v2/{org}/Groups/{group}": Case(False, {"json": SCIM_PATCH}),
    "DELETE /scim/v2/{org}/Groups/{group}": Case(False),
    "GET /v1/orgs/{org}/vocabulary": READ,
    "PUT /v1/orgs/{org}/vocabulary": Case(False, {"json": {"resources": {"record": "application"}}}),
    "GET /v1/orgs/{org}/teams": READ,
    "POST /v1/orgs/{org}/teams": Case(False, {"json": {"slug": "mine", "name": "Mine"}}),
    "GET /v1/orgs/{org}/teams/{team}": READ,
    "PATCH /v1/orgs/{org}/teams/{team}": Case(False, {"json": {"name": "Mine"}}),
    "DELETE /v1/orgs/{org}/teams/{team}": Case(False),
    "GET /v1/orgs/{org}/teams/{team}/members": READ,
    "PUT /v1/orgs/{org}/teams/{team}/members/{user}": Case(False),
    "DELETE /v1/orgs/{org}/teams/{team}/members/{user}": Case(False),
    "GET /v1/orgs/{org}/assignments": Case(False),
    "POST /v1/orgs/{org}/assignments": Case(
        False,
        {"json": {"subject": {"type": "user", "id": "{user}"}, "role": "viewer", "resource": "{org}/{app}"}},
    ),
    "DELETE /v1/orgs/{org}/assignments/{assignment}": Case(False, refused="assignment_not_found"),
    "GET /v1/orgs/{org}/service-accounts": Case(False),
    "POST /v1/orgs/{org}/service-accounts": Case(False, {"json": {"slug": "mine", "name": "Mine"}}),
    "DELETE /v1/orgs/{org}/service-accounts/{account}": Case(False),
    "GET /v1/orgs/{org}/service-accounts/{account}/keys": Case(False),
    "POST /v1/orgs/{org}/service-accounts/{account}/keys": Case(False, {"json": {"name": "Mine"}}),
    "DELETE /v1/orgs/{org}/service-accounts/{account}/keys/{key}": Case(False),
    "GET /v1/orgs/{org}/events": READ,
}

# Routes on which no tenant's rights are asked for, each with the reason.
OPEN: dict[str, str] = {
    "POST /v1/users": "whoever registers is nobody yet",
    "POST /v1/sessions": "signing in; the password is the proof",
    "POST /v1/sessions/passkey/challenge": "asks for a challenge, the same for everybody",
    "POST /v1/sessions/passkey": "signing in; what the passkey signed is the proof",
    "POST /v1/password-resets": "who forgot a password cannot sign in; what is mailed makes the difference",
    "POST /v1/password-resets/confirm": "the mailed token is the proof, and it names one account",
    "POST /v1/verifications": "as for a new password",
    "POST /v1/verifications/confirm": "the mailed token is the proof, and it names one account",
    "POST /oauth/token": "the refresh token is the proof",
    "GET /.well-known/jwks.json": "public keys",
    "GET /.well-known/openid-configuration": "addresses",
    "GET /.well-known/oauth-authorization-server": "addresses",
    "GET /oauth/authorize": "the page on which somebody signs in",
    "POST /oauth/authorize": "the password is the proof, or the browser's own cookie",
    "POST /oauth/device_authorization": "a device has no account; a person lets it in",
    "GET /device": "the page on which a person lets a device in",
    "POST /device": "the browser's own cookie is the proof",
    "POST /device/sign-in": "the password is the proof",
    "POST /oauth/revoke": "the token is the proof",
    "POST /oauth/introspect": "a service account's key is the proof",
    "GET /.well-known/authzen-configuration": "addresses",
    "GET /discovery/{org}/{env}": "shells load it in browsers of people who have no account",
    "GET /discovery/{org}/{env}/events": "the same document as it changes",
    "GET /assets/{org}/{app}/{version}/{path:path}": "published builds are loaded by any browser",
    "HEAD /assets/{org}/{app}/{version}/{path:path}": "the same without the bytes",
    "WEBSOCKET /v1/live": "signs in with its first frame; each of its queries has a case below",
    "GET /": "leads to the shell that is shown first",
    "GET /livez": "whether the process lives",
    "GET /readyz": "whether the process can serve",
    "GET /asyncapi": "documentation",
    "GET /openapi.json": "documentation",
    "HEAD /openapi.json": "documentation",
    "GET /docs": "documentation",
    "HEAD /docs": "documentation",
    "GET /docs/oauth2-redirect": "documentation",
    "HEAD /docs/oauth2-redirect": "documentation",
}
# Routes that need a token and name no organization, each with why no other tenant can be meant.
OWN: dict[str, str] = {
    "GET /oauth/userinfo": "the user is the token's own",
    "POST /oauth/userinfo": "the user is the token's own",
    "DELETE /v1/sessions/current": "the session is the token's own",
    "GET /v1/sessions": "lists those of the caller",
    "DELETE /v1/sessions": "ends those of the caller",
    "DELETE /v1/sessions/{session}": "of another, it is none: see the attacks on signing in",
    "GET /v1/me": "the user is the token's own",
    "PUT /v1/me/password": "the user is the token's own, and the present password is asked for",
    "GET /v1/me/factors": "the user is the token's own",
    "POST /v1/me/totp": "the user is the token's own",
    "POST /v1/me/totp/confirm": "the user is the token's own",
    "DELETE /v1/me/totp": "the user is the token's own",
    "POST /v1/me/recovery-codes": "the user is the token's own",
    "GET /v1/me/passkeys": "lists those of the caller",
    "POST /v1/me/passkeys/challenge": "the user is the token's own",
    "POST /v1/me/passkeys": "adds one to the caller",
    "DELETE /v1/me/passkeys/{passkey}": "of another, it is none: see the attacks on signing in",
    "POST /v1/operations/keys/rotate": "operators of the installation only",
    "POST /v1/orgs": "makes one that belongs to the caller",
    "GET /v1/orgs": "lists those of the caller",
    "POST /v1/invitations/accept": "the invitation's token is the proof, and it names one e-mail address",
    "POST /access/v1/evaluation": "asks about oneself, or by what one holds where the resource lies",
    "POST /access/v1/evaluations": "the same, many at once",
    "POST /access/v1/search/subject": "the same, for all subjects",
    "POST /access/v1/search/resource": "the same, for all resources",
    "POST /access/v1/search/action": "the same, for all actions",
    "GET /v1/operations/audit/events": "operators of the installation only",
    "GET /v1/operations/dead": "operators of the installation only",
    "POST /v1/operations/dead/replay": "operators of the installation only",
}

# One set of arguments for each query that can be asked for by name.
QUERY_ARGS: dict[str, dict[str, str]] = {
    "audit.list_entries": {},
    "deploy.get_environment": {"environment": "production"},
    "deploy.get_rollout": {"rollout": "{rollout}"},
    "deploy.list_environments": {},
    "deploy.list_placements": {"environment": "production"},
    "deploy.list_rollouts": {"environment": "production"},
    "identity.get_org": {},
    "identity.list_invitations": {},
    "identity.get_team": {"slug": "{team}"},
    "identity.list_assignments": {},
    "identity.list_keys": {"account": "{account}"},
    "identity.list_members": {},
    "identity.list_roles": {},
    "identity.list_service_accounts": {},
    "identity.get_issuer": {"issuer": "{issuer}"},
    "identity.get_managed_user": {"user": "{managed}"},
    "identity.get_vocabulary": {},
    "identity.list_issuers": {},
    "identity.list_managed_users": {},
    "identity.list_trust_rules": {"account": "{account}"},
    "identity.list_team_members": {"slug": "{team}"},
    "identity.list_teams": {},
    "registry.get_app": {"app": "{app}"},
    "registry.get_version": {"app": "{app}", "version": "1.0.0"},
    "registry.list_apps": {},
    "registry.list_versions": {"app": "{app}"},
}
OPEN_QUERIES = {"deploy.get_discovery": "public, as its route is"}
OWN_QUERIES = {"identity.get_me": "the caller's own", "identity.list_orgs": "the caller's own"}
OWN_QUERIES |= dict.fromkeys(
    ("identity.get_factors", "identity.list_passkeys", "identity.list_sessions"), "the caller's own"
)
