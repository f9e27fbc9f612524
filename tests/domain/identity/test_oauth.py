"""Rules of clients, authorization, devices and trust rules, without anything around them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from libs.contracts.base import Caller
from libs.contracts.identity import AuthorizationParameters, CreateTrustRule, KeyScope, TrustRule
from libs.errors import PermissionMissing
from libs.oauth import InteractionRequired, InvalidGrant, InvalidScope, LoginRequired
from libs.permissions import Grant
from services.identity.oauth.clients import RegisteredClient, built_in, origin_of
from services.identity.oauth.codes import domain as codes
from services.identity.oauth.devices import domain as devices
from services.identity.oauth.machines.domain import narrowed_to
from services.identity.oauth.trust import domain as trust
from services.identity.sessions.domain import Client, RecentSignInRequired, check_recent, open_for

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
GITHUB = "https://token.actions.githubusercontent.com"


def a_client(**fields: Any) -> RegisteredClient:
    return RegisteredClient(**{"id": "shop", "name": "Shop", **fields})


# ---- clients ----


@pytest.mark.parametrize(
    ("uri", "native"),
    [
        ("https://shop.example/callback", False),
        ("https://shop.example:8443/callback?tenant=1", False),
        ("http://127.0.0.1/callback", True),
        ("http://[::1]:8400/callback", False),
        ("com.example.shop:/callback", True),
    ],
)
def test_a_client_may_register_a_safe_address(uri: str, native: bool) -> None:
    assert a_client(redirect_uris=(uri,), native=native).may_redirect_to(uri)


@pytest.mark.parametrize(
    ("uri", "native"),
    [
        ("http://shop.example/callback", False),
        ("https://shop.example/callback#x", False),
        ("https://user@shop.example/callback", False),
        ("https://shop.example\\@evil.example/", False),
        ("https:///callback", False),
        ("https://shöp.example/", False),
        ("https://shop.example/a b\n", False),
        ("http://localhost/callback", True),
        ("javascript:alert(1)", True),
        ("data:text/html,x", True),
        ("com.example.shop:/callback", False),
        ("/callback", False),
        ("", True),
    ],
)
def test_an_address_that_no_code_should_be_sent_to_is_no_setting(uri: str, native: bool) -> None:
    with pytest.raises(ValidationError):
        a_client(redirect_uris=(uri,), native=native)


def test_a_client_of_the_web_has_its_port_and_a_native_one_any() -> None:
    web = a_client(redirect_uris=("http://127.0.0.1:3000/callback",))
    native = a_client(redirect_uris=("http://127.0.0.1:3000/callback",), native=True)
    other = "http://127.0.0.1:3001/callback"
    assert (web.may_redirect_to(other), native.may_redirect_to(other)) == (False, True)


def test_a_client_gets_no_scope_that_is_not_its_own() -> None:
    client = a_client(scopes=("openid", "email"))
    assert client.allowed_scope("email openid") == "openid email"
    assert client.allowed_scope(None) == ""
    assert client.allowed_scope("openid profile") is None


@pytest.mark.parametrize(
    "fields", [{"id": "mes"}, {"id": "browser"}, {"native": True, "secret_sha256": "0" * 64}]
)
def test_what_no_client_can_be_is_no_setting(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_client(**fields)


def test_our_own_clients_need_no_settings() -> None:
    portal, cli = built_in("https://portal.example.org", ())
    assert portal.may_redirect_to("https://portal.example.org/app/callback")
    assert not portal.may_redirect_to("https://portal.example.org/app/callback/")
    assert cli.may_redirect_to("http://127.0.0.1:4000/callback")
    assert origin_of("http://127.0.0.1:4000/callback") == "http://127.0.0.1:4000"


# ---- asking the person ----


def step(
    proved_ago: timedelta | None = timedelta(minutes=5), asks_always: bool = False, **sent: str
) -> codes.Step:
    proved_at = None if proved_ago is None else NOW - proved_ago
    return codes.step(AuthorizationParameters(**sent), proved_at, "ada@example.org", asks_always, NOW)


@pytest.mark.parametrize(
    ("expected", "sent"),
    [
        ("go", {}),
        ("go", {"max_age": "300"}),
        ("sign_in", {"max_age": "299"}),
        ("sign_in", {"max_age": "0"}),
        ("sign_in", {"prompt": "login"}),
        ("sign_in", {"prompt": "select_account"}),
        ("sign_in", {"prompt": "login consent"}),
        ("consent", {"prompt": "consent"}),
        ("go", {"login_hint": "Ada@Example.org "}),
        ("sign_in", {"login_hint": "grace@example.org"}),
        ("go", {"login_hint": "opaque"}),
        ("go", {"prompt": "none"}),
    ],
)
def test_whom_the_browser_knows_is_asked_what_the_client_wants(expected: str, sent: dict[str, Any]) -> None:
    assert step(**sent) == expected


def test_a_client_that_anybody_could_pretend_to_be_needs_a_yes() -> None:
    assert step(asks_always=True) == "consent"
    with pytest.raises(InteractionRequired):
        step(asks_always=True, prompt="none")


@pytest.mark.parametrize("sent", [{}, {"max_age": "60"}, {"login_hint": "grace@example.org"}])
def test_a_client_that_wants_nobody_asked_hears_that_somebody_has_to_be(sent: dict[str, Any]) -> None:
    ago = None if not sent else timedelta(minutes=5)
    with pytest.raises(LoginRequired):
        step(ago, prompt="none", **sent)


def test_a_session_opened_by_an_old_sign_in_does_not_count_as_a_new_one() -> None:
    old = Client("mes-cli", "", NOW - timedelta(hours=1))
    session, _ = open_for("ses_1", "usr_1", [], NOW, timedelta(days=1), client=old)
    with pytest.raises(RecentSignInRequired):
        check_recent(session, "usr_1", NOW, timedelta(minutes=15))


@pytest.mark.parametrize(
    ("scope", "renewable"), [("", True), ("openid", False), ("openid offline_access", True)]
)
def test_who_speaks_openid_connect_asks_for_refresh_tokens(scope: str, renewable: bool) -> None:
    assert Client("shop", scope).is_renewable is renewable


# ---- devices ----


def a_device() -> devices.Device:
    return devices.begin("dev_1", "BCDF-GHJK", "mes-cli", "openid", "192.0.2.7", "mes", NOW)


@pytest.mark.parametrize("typed", ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk ", "BCDF_GHJK"])
def test_a_code_is_known_however_it_is_typed(typed: str) -> None:
    assert devices.normal(typed) == "BCDF-GHJK"


def test_whoever_asks_too_soon_waits_longer_each_time() -> None:
    first = devices.polled(a_device(), NOW)
    assert first.interval_s == 5
    soon = devices.polled(first, NOW + timedelta(seconds=2))
    assert soon.interval_s == 10
    assert devices.is_too_soon(soon, NOW + timedelta(seconds=8))
    assert devices.polled(soon, NOW + timedelta(seconds=12)).interval_s == 10


def test_a_device_is_decided_on_once_and_in_time() -> None:
    def decide(device: devices.Device | None, now: datetime) -> devices.Device:
        return devices.decide(device, True, "usr_1", ("pwd",), NOW, now)[0]

    decided = decide(a_device(), NOW)
    assert (decided.decided, decided.user) == ("approved", "usr_1")
    for device, now in ((decided, NOW), (a_device(), NOW + devices.LIFETIME), (None, NOW)):
        with pytest.raises(devices.DeviceNotFound):
            decide(device, now)


# ---- trust rules ----


def a_command(**fields: Any) -> CreateTrustRule:
    good = {"org": "org_1", "account": "sva_1", "issuer": GITHUB, "audience": "portal"}
    return CreateTrustRule(**{**good, "claims": {"repository_id": "1"}, **fields})


def create(
    command: CreateTrustRule, existing: int = 0, held: tuple[Grant, ...] = (), insecure: bool = False
) -> TrustRule:
    others = [a_rule(f"tru_{number}") for number in range(existing)]
    account = [Grant("developer", "org_1")]
    caller = Caller(subject="usr_1", grants=held or (Grant("owner", "org_1"),))
    return trust.create(others, command, "tru_new", account, caller, insecure, NOW)[0]


def a_rule(name: str = "tru_1", **fields: Any) -> TrustRule:
    good = {"account": "sva_1", "issuer": GITHUB, "audience": "portal", "claims": {"repository_id": "1"}}
    when = {"scope": KeyScope(), "created_at": NOW, "created_by": "usr_1"}
    return TrustRule(**{**good, **when, "id": name, **fields})


@pytest.mark.parametrize(
    ("issuer", "claims"),
    [
        (GITHUB, {"repository": "acme/shop"}),
        (GITHUB, {"repository": "acme/shop", "environment": "production", "ref": "refs/heads/main"}),
        (GITHUB, {"sub": "repo:acme/shop:ref:refs/heads/main"}),
        (GITHUB, {"sub": "anything"}),
        ("https://gitlab.com", {"sub": "project_path:acme/shop:ref_type:branch:ref:main"}),
        ("https://gitlab.example.org", {"sub": "project_path:acme/shop:ref_type:branch:ref:main"}),
        ("https://gitlab.com", {"namespace_path": "acme", "project_path": "acme/shop"}),
        ("https://ci.example.org", {"repository": "acme/shop"}),
        ("https://ci.example.org", {}),
    ],
)
def test_a_rule_on_names_alone_is_refused_and_says_why(issuer: str, claims: dict[str, str]) -> None:
    with pytest.raises(trust.RuleNotImmutable) as refused:
        create(a_command(issuer=issuer, claims=claims))
    assert "can become somebody else's" in refused.value.detail


@pytest.mark.parametrize(
    ("issuer", "claims"),
    [
        (GITHUB, {"repository_id": "1"}),
        (GITHUB, {"repository_owner_id": "1", "repository": "acme/shop"}),
        ("https://gitlab.com", {"project_id": "1", "environment": "production"}),
        ("https://ci.example.org", {"sub": "runner-7"}),
    ],
)
def test_a_rule_on_what_stays_is_made(issuer: str, claims: dict[str, str]) -> None:
    assert create(a_command(issuer=issuer, claims=claims)).claims == claims


def test_a_rule_gives_no_more_than_its_maker_holds() -> None:
    viewer = (Grant("viewer", "org_1"),)
    with pytest.raises(PermissionMissing):
        create(a_command(), held=viewer)
    assert create(a_command(scope=KeyScope(permissions=("app:read",))), held=viewer)


def test_a_rule_is_over_https_and_there_are_not_too_many() -> None:
    with pytest.raises(trust.InsecureRunner):
        create(a_command(issuer="http://127.0.0.1:1"))
    assert create(a_command(issuer="http://127.0.0.1:1", claims={"sub": "x"}), insecure=True)
    with pytest.raises(trust.TooManyRules):
        create(a_command(), existing=trust.MOST_RULES)


def test_of_several_rules_the_oldest_that_fits_counts() -> None:
    claims = {"iss": GITHUB, "aud": "portal", "repository_id": "1", "ref": "refs/heads/main"}
    newer = a_rule("tru_1", created_at=NOW + timedelta(days=1))
    other = a_rule("tru_0", claims={"repository_id": "1", "ref": "refs/heads/other"})
    older = a_rule("tru_2", claims={"repository_id": "1", "ref": "refs/heads/main"})
    assert trust.matching([newer, other, older], claims) is older


@pytest.mark.parametrize("value", [None, "2", ["1"], {"1": "1"}, True, 1.0, " 1", "1\n"])
def test_a_claim_is_exactly_so_or_not_at_all(value: object) -> None:
    with pytest.raises(InvalidGrant):
        trust.matching([a_rule()], {"iss": GITHUB, "aud": "portal", "repository_id": value})


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 1e300},
        {"exp": NOW.timestamp() - 31},
        {"exp": NOW.timestamp() + 2 * 86_400},
        {"nbf": NOW.timestamp() + 31},
        {"iat": NOW.timestamp() + 31},
    ],
)
def test_a_runners_token_is_good_now_and_not_for_long(changes: dict[str, Any]) -> None:
    good: dict[str, Any] = {"exp": NOW.timestamp() + 300, "iat": NOW.timestamp(), "nbf": NOW.timestamp()}
    assert trust.check_times(good, NOW) == NOW + timedelta(seconds=300)
    with pytest.raises(InvalidGrant):
        trust.check_times({**good, **changes}, NOW)


# ---- what a token is limited to ----


def test_a_scope_narrows_and_never_widens() -> None:
    whole, part = KeyScope(path="shop"), KeyScope(permissions=("app:read", "version:publish"), path="shop")
    assert narrowed_to(part, None) == part
    assert narrowed_to(whole, "app:read") == KeyScope(permissions=("app:read",), path="shop")
    assert narrowed_to(part, "app:read").permissions == ("app:read",)
    for scope, asked in ((part, "app:read member:read"), (whole, "openid"), (whole, "platform:read")):
        with pytest.raises(InvalidScope):
            narrowed_to(scope, asked)
