"""Rules of keyless CI: whose tokens a service account accepts, and what they become. No I/O.

What a rule matches must be a fact that nobody else can come to have. A repository's name can: rename or
delete it, and somebody else may take the name.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from libs.contracts.base import Caller, Event, Moment, Resource
from libs.contracts.identity import (
    CreateTrustRule,
    ServiceAccount,
    TrustRule,
    TrustRuleCreated,
    TrustRuleRemoved,
)
from libs.errors import Conflict, Invalid, NotFound
from libs.oauth import InvalidGrant
from libs.permissions import Grant, narrowed
from services.identity.accounts.domain import limit
from services.identity.members.domain import check_grant
from services.identity.oauth.machines.domain import MachineToken, issued, narrowed_to

LIFETIME = timedelta(minutes=15)
MOST_RULES = 20
# A runner's own token is good for minutes; one for longer is no runner's.
LONGEST = timedelta(hours=24)
SKEW = timedelta(seconds=30)

# What each platform says of a job that stays what it is, whatever is renamed.
GITHUB = frozenset({"repository_id", "repository_owner_id", "enterprise_id"})
GITLAB = frozenset({"project_id", "namespace_id"})
IMMUTABLE = GITHUB | GITLAB
# A subject that these platforms make of names.
_OF_NAMES = ("repo:", "project_path:", "organization:")
_PLATFORMS = ("https://token.actions.githubusercontent.com", "https://gitlab.com")
# What every token has to be right about anyway.
_CHECKED = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti"})


class RuleNotFound(NotFound):
    """The service account has no such trust rule."""


class TooManyRules(Conflict):
    """The service account has as many trust rules as one may."""


class RuleNotImmutable(Invalid):
    """The rule matches on names alone, which can become somebody else's. Add repository_id or
    repository_owner_id (GitHub), project_id or namespace_id (GitLab), or elsewhere the exact `sub`."""


class ClaimNotMatchable(Invalid):
    """Claims are matched exactly: no wildcards, and none that is checked anyway (iss, aud, exp, jti …)."""


class InsecureRunner(Invalid):
    """The issuer of runners' tokens is reached over https."""


class Shown(Resource):
    """A runner's token that has been exchanged, until it runs out: none is taken twice."""

    id: str
    expires_at: Moment


def create(
    existing: Sequence[TrustRule],
    command: CreateTrustRule,
    rule: str,
    grants: Iterable[Grant],
    caller: Caller,
    insecure: bool,
    now: datetime,
) -> tuple[TrustRule, list[Event]]:
    """`grants` is what the account holds. Whoever makes a rule could run the job that it trusts, so they have
    to hold all that it will give. `insecure` allows http."""
    if len(existing) >= MOST_RULES:
        raise TooManyRules(f"{MOST_RULES} at most")
    if not insecure and not command.issuer.startswith("https://"):
        raise InsecureRunner("https is needed")
    _check_claims(command.issuer, command.claims)
    for grant in narrowed(grants, [limit(command.org, command.scope)]):
        check_grant(caller, grant.allows(), grant.resource)
    made = TrustRule(
        id=rule,
        account=command.account,
        issuer=command.issuer,
        audience=command.audience,
        claims=dict(command.claims),
        scope=command.scope,
        created_at=now,
        created_by=caller.subject,
        revision=1,
    )
    event = TrustRuleCreated(
        org=command.org,
        account=made.account,
        rule=made.id,
        issuer=made.issuer,
        audience=made.audience,
        claims=made.claims,
        permissions=made.scope.permissions,
        path=made.scope.path,
    )
    return made, [event]


def _check_claims(issuer: str, claims: Mapping[str, str]) -> None:
    refused = sorted(name for name, value in claims.items() if name in _CHECKED or "*" in value)
    if refused:
        raise ClaimNotMatchable(", ".join(refused))
    if IMMUTABLE & claims.keys():
        return
    subject = claims.get("sub", "")
    made_of_names = subject.startswith(_OF_NAMES) or issuer.rstrip("/") in _PLATFORMS
    if not subject or made_of_names:
        names = ", ".join(sorted(claims)) or "nothing"
        raise RuleNotImmutable(
            f"{names}: names can become somebody else's; add repository_id, repository_owner_id, "
            "project_id or namespace_id"
        )


def remove(rule: TrustRule, organization: str) -> list[Event]:
    return [TrustRuleRemoved(org=organization, account=rule.account, rule=rule.id, issuer=rule.issuer)]


def known(rule: TrustRule | None, account: str, name: str) -> TrustRule:
    if rule is None or rule.account != account:
        raise RuleNotFound(f"no trust rule {name}")
    return rule


def check_times(claims: Mapping[str, Any], now: datetime) -> datetime:
    """When the token runs out. It must be good now, by a clock that may be a little off, and not for ever."""
    end = _moment(claims, "exp", now)
    if end <= now - SKEW:
        raise InvalidGrant("the token has expired")
    if end > now + LONGEST:
        raise InvalidGrant("the token is good for too long to be a runner's")
    for name in ("nbf", "iat"):
        if name in claims and _moment(claims, name, now) > now + SKEW:
            raise InvalidGrant("the token is not good yet")
    return end


def _moment(claims: Mapping[str, Any], name: str, now: datetime) -> datetime:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidGrant(f"the token says no {name}")
    try:
        return datetime.fromtimestamp(value, now.tzinfo)
    except (ValueError, OverflowError, OSError):
        raise InvalidGrant(f"the token says no {name}") from None


def shown_id(claims: Mapping[str, Any]) -> str:
    """What makes a token one of a kind."""
    name = claims.get("jti")
    if not isinstance(name, str) or not 8 <= len(name) <= 512:
        raise InvalidGrant("the token has no id of its own")
    return f"{claims['iss']}|{name}"


def matching(rules: Iterable[TrustRule], claims: Mapping[str, Any]) -> TrustRule:
    """The first rule, oldest first, that this token fits. What a token lacks to fit is not told."""
    for rule in sorted(rules, key=lambda rule: (rule.created_at, rule.id)):
        meant = rule.issuer == claims.get("iss") and _is_for(rule.audience, claims.get("aud"))
        if meant and all(_text(claims.get(name)) == value for name, value in rule.claims.items()):
            return rule
    raise InvalidGrant("no trust rule of the service account takes this token")


def _is_for(audience: str, said: object) -> bool:
    """One audience, alone: a token for several could be shown here by any of the others."""
    return said == audience or said == [audience]


def _text(value: object) -> str | None:
    """Numbers and yes or no as platforms write them; nothing of what is inside lists or objects."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


def exchanged(
    org: str,
    account: ServiceAccount,
    rule: TrustRule,
    scope: str | None,
    claims: Mapping[str, Any],
    now: datetime,
) -> tuple[MachineToken, list[Event]]:
    runner = {"iss": rule.issuer, "sub": str(claims.get("sub", ""))[:512]}
    token = MachineToken(
        token=f"tok_{secrets.token_hex(12)}",
        org=org,
        account=account.id,
        by=rule.id,
        scope=narrowed_to(rule.scope, scope),
        issued_at=now,
        expires_at=now + LIFETIME,
        runner=runner,
        exchanged=True,
    )
    return token, [issued(token, runner["sub"] or rule.issuer)]
