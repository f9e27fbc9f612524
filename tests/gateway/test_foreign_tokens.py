"""Tokens of Clerk, Auth0 and other issuers: what is accepted, with which roles, and what is refused, and why.

Against the running portal, with an issuer of the test's own on loopback that signs whatever it is asked to.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
from joserfc.jwk import Key

from deploy.local import LocalPortal
from tests import foreign
from tests.foreign import ForeignIssuer, confused, signed, unsigned
from tests.gateway.conftest import eventually
from tests.portal import Person, somebody

ORIGIN = "https://shop.example.org"
AUDIENCE = "https://portal.example.org"


@dataclass
class House:
    """An organization that trusts three issuers, one of each kind, and lets their people join."""

    portal: LocalPortal
    owner: Person
    org: str
    clerk: ForeignIssuer
    auth0: ForeignIssuer
    oidc: ForeignIssuer
    keys: dict[str, Key]
    ids: dict[str, str]

    @property
    def below(self) -> str:
        return f"/v1/orgs/{self.org}"

    def issuer(self, kind: str) -> ForeignIssuer:
        return {"clerk": self.clerk, "auth0": self.auth0, "oidc": self.oidc}[kind]

    async def get(
        self, token: str, path: str = "", gateway: int = 0, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.portal.gateways[gateway], timeout=30) as http:
            sent = {"authorization": f"Bearer {token}", **(headers or {})}
            return await http.get(path or f"{self.below}/audit/events?limit=1", headers=sent)

    async def trust(self, kind: str, issuer: ForeignIssuer, **more: Any) -> str:
        settings = settings_of(kind, issuer, **more)
        made = await self.owner.call(
            "POST", f"{self.below}/identity-providers", 201, json={"name": kind, "settings": settings}
        )
        return str(made.json()["id"])


def settings_of(kind: str, issuer: ForeignIssuer, **more: Any) -> dict[str, Any]:
    """Whoever is `admin` there is an admin here, which shows in being let to the log."""
    found: dict[str, Any] = {
        "kind": kind,
        "issuer": issuer.url,
        "joining": True,
        "algorithms": ["RS256", "ES256"],
    }
    match kind:
        case "clerk":
            found |= {
                "authorized_parties": [ORIGIN],
                "roles": {"org:admin": "admin", "org:teams:manage": "admin"},
            }
        case "auth0":
            found |= {"audiences": [AUDIENCE], "roles": {"read:log": "admin"}, "external_org": "org_auth0"}
        case _:
            found |= {"audiences": [AUDIENCE], "roles": {"auditors": "admin"}}
    return {**found, **more}


@pytest.fixture(scope="module")
async def house(portal: LocalPortal) -> AsyncIterator[House]:
    owner = await somebody(portal.gateways[0])
    org = await owner.make_org()
    with foreign.serving() as clerk, foreign.serving("/") as auth0, foreign.serving("/realms/x") as oidc:
        keys = {"clerk": clerk.new_key(), "auth0": auth0.new_key(), "oidc": oidc.new_key("EC")}
        made = House(portal, owner, org, clerk, auth0, oidc, keys, {})
        for kind in ("clerk", "auth0", "oidc"):
            made.ids[kind] = await made.trust(kind, made.issuer(kind))
        await eventually(lambda: known_everywhere(made), "both gateways know the issuers")
        yield made
    await owner.http.aclose()


async def known_everywhere(house: House) -> bool:
    answers = [await house.get(clerk_2(house), "/v1/me", gateway) for gateway in range(2)]
    return all(answer.status_code == 200 for answer in answers)


# ---- tokens as the issuers write them ----


def clerk_2(house: House, **more: Any) -> str:
    """A session token of version 2, of an admin of the organization."""
    o = {"id": "org_clerk", "slg": "acme", "rol": "admin", "per": "manage,read", "fpm": "1,2"}
    usual = {"azp": ORIGIN, "sid": "sess_1", "v": 2, "sts": "active", "fea": "o:dashboard,o:teams", "o": o}
    return signed(house.keys["clerk"], foreign.claims(house.clerk, **{**usual, **more}))


def clerk_1(house: House, **more: Any) -> str:
    usual = {
        "azp": ORIGIN,
        "sid": "sess_1",
        "org_id": "org_clerk",
        "org_role": "org:admin",
        "org_slug": "acme",
    }
    return signed(house.keys["clerk"], foreign.claims(house.clerk, **{**usual, **more}))


def auth0_classic(house: House, **more: Any) -> str:
    usual = {
        "sub": "auth0|1",
        "aud": [AUDIENCE, "https://x.auth0.com/userinfo"],
        "azp": "client",
        "scope": "openid",
    }
    usual |= {"permissions": ["read:log"], "org_id": "org_auth0"}
    return signed(house.keys["auth0"], foreign.claims(house.auth0, **{**usual, **more}))


def auth0_9068(house: House, **more: Any) -> str:
    usual = {"sub": "auth0|1", "aud": AUDIENCE, "client_id": "client", "jti": "1", "scope": "read:log"}
    return signed(
        house.keys["auth0"],
        foreign.claims(house.auth0, **{**usual, "org_id": "org_auth0", **more}),
        {"typ": "at+jwt"},
    )


def openid(house: House, header: dict[str, Any] | None = None, **more: Any) -> str:
    usual = {"aud": AUDIENCE, "groups": ["auditors", "staff"]}
    return signed(house.keys["oidc"], foreign.claims(house.oidc, **{**usual, **more}), header)


def openid_claims(house: House, **more: Any) -> dict[str, Any]:
    return foreign.claims(house.oidc, **{"aud": AUDIENCE, "groups": ["auditors"], **more})


def of_a_key_that_was_never_published(house: House) -> str:
    return signed(house.oidc.new_key("EC", published=False), openid_claims(house))


def of_a_key_with_our_kid(house: House) -> str:
    """Another key under the name of the real one."""
    other = house.oidc.new_key("EC", published=False)
    return signed(other, openid_claims(house), {"kid": house.keys["oidc"].kid})


def with_a_key_in_its_header(house: House) -> str:
    other = house.oidc.new_key("EC", published=False)
    return signed(other, openid_claims(house), {"jwk": dict(other.as_dict(private=False)), "kid": other.kid})


def tampered(house: House) -> str:
    head, body, signature = openid(house).split(".")
    other = openid(house, sub="user_2").split(".")[1]
    assert other != body
    return f"{head}.{other}.{signature}"


def a_name_twice(house: House) -> str:
    """Two `sub`: readers differ in which of them they take."""
    import base64

    head, _, signature = openid(house).split(".")
    now = int(time.time())
    text = f'{{"iss":"{house.oidc.url}","aud":"{AUDIENCE}","sub":"a","sub":"b","exp":{now + 60}}}'
    body = base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


NOW = time.time
Make = Callable[[House], str]

# Let in, and let to the log: the external role counted.
ACCEPTED: dict[str, Make] = {
    "clerk 2: admin of the organization": clerk_2,
    "clerk 2: a permission by its bitmap": lambda h: clerk_2(
        h, o={"id": "o", "rol": "member", "per": "manage,read", "fpm": "2,1"}
    ),
    "clerk 2: features of the user alone have no bitmap": lambda h: clerk_2(
        h, fea="u:billing,o:teams", o={"id": "o", "rol": "member", "per": "read,manage", "fpm": "2"}
    ),
    "clerk 2: a gap in the bitmaps": lambda h: clerk_2(
        h, fea="o:a,o:b,o:teams", o={"id": "o", "rol": "member", "per": "x,y,manage", "fpm": "0,3,4"}
    ),
    "clerk 2: an unknown header": lambda h: signed(
        h.keys["clerk"],
        foreign.claims(h.clerk, azp=ORIGIN, v=2, o={"id": "o", "rol": "admin"}),
        {"cat": "cl_B7d4PD111AAA"},
    ),
    "clerk 1: admin of the organization": clerk_1,
    "clerk 1: a permission": lambda h: clerk_1(
        h, org_role="org:member", org_permissions=["org:teams:manage"]
    ),
    "auth0: classic": auth0_classic,
    "auth0: classic, one audience": lambda h: auth0_classic(h, aud=AUDIENCE),
    "auth0: RFC 9068, by its scope": auth0_9068,
    "openid: groups": openid,
    "openid: roles": lambda h: openid(h, groups=None, roles=["auditors"]),
    "openid: a realm's roles": lambda h: openid(h, groups=None, realm_access={"roles": ["auditors"]}),
    "openid: no typ": lambda h: openid(h, {"typ": None}),
    "openid: clocks differ a little, issued": lambda h: openid(h, iat=int(NOW()) + 3),
    "openid: clocks differ a little, begins": lambda h: openid(h, nbf=int(NOW()) + 3),
    "openid: clocks differ a little, expires": lambda h: openid(h, exp=int(NOW()) - 2),
    "openid: no iat": lambda h: openid(h, iat=None),
}

# Genuine, so that they are let in, but the role that they claim does not count.
WITHOUT_THE_ROLE: dict[str, Make] = {
    "clerk 2: a role that is not mapped": lambda h: clerk_2(h, o={"id": "o", "rol": "boss"}),
    "clerk 2: a personal session": lambda h: clerk_2(h, o=None),
    "clerk 2: the other bit": lambda h: clerk_2(
        h, o={"id": "o", "rol": "member", "per": "manage,read", "fpm": "1,2"}
    ),
    "clerk 2: the permission of another feature": lambda h: clerk_2(
        h, o={"id": "o", "rol": "member", "per": "manage,read", "fpm": "3,0"}
    ),
    "clerk 2: nonsense in the bitmap": lambda h: clerk_2(
        h, o={"id": "o", "rol": "member", "per": "manage", "fpm": "-1,x"}
    ),
    "clerk 1: a permission without a role": lambda h: clerk_1(
        h, org_role=None, org_permissions="org:other:x"
    ),
    "auth0: a scope that is not mapped": lambda h: auth0_classic(h, permissions=["write:log"]),
    "openid: a group that is not mapped": lambda h: openid(h, groups=["staff"]),
    "openid: groups of an odd type": lambda h: openid(h, groups={"auditors": True}),
    "openid: our own names mean nothing": lambda h: openid(h, groups=["admin", "owner"]),
}

# Refused: the detail says why.
REFUSED: dict[str, tuple[Make, str]] = {
    "clerk: wrong azp": (lambda h: clerk_2(h, azp="https://evil.example.org"), "azp"),
    "clerk: no azp": (lambda h: clerk_2(h, azp=None), "azp"),
    "clerk: the azp in client_id": (lambda h: clerk_2(h, azp=None, client_id=ORIGIN), "azp"),
    "clerk: an origin that begins like ours": (lambda h: clerk_2(h, azp=f"{ORIGIN}.evil.org"), "azp"),
    "clerk: pending": (lambda h: clerk_2(h, sts="pending"), "the session is pending"),
    "clerk 1: wrong azp": (lambda h: clerk_1(h, azp="x"), "azp"),
    "auth0: wrong audience": (lambda h: auth0_classic(h, aud=["https://other"]), "aud"),
    "auth0: no audience": (lambda h: auth0_classic(h, aud=None), "aud"),
    "auth0: an audience of an odd type": (lambda h: auth0_classic(h, aud={AUDIENCE: 1}), "aud"),
    "auth0: of another organization there": (
        lambda h: auth0_classic(h, org_id="org_other"),
        "of another organization of the issuer",
    ),
    "auth0: of no organization there": (
        lambda h: auth0_classic(h, org_id=None),
        "of another organization of the issuer",
    ),
    "auth0: a machine": (lambda h: auth0_9068(h, gty="client-credentials"), "no person asked for it"),
    "auth0: a machine by its name": (lambda h: auth0_classic(h, sub="x@clients"), "no person asked for it"),
    "auth0: its issuer without the slash": (
        lambda h: auth0_classic(h, iss=h.auth0.url.rstrip("/")),
        "another key",
    ),
    "openid: an unknown kid": (of_a_key_that_was_never_published, "unknown key"),
    "openid: another key under a known kid": (of_a_key_with_our_kid, "signature"),
    "openid: no kid": (lambda h: openid(h, {"kid": None}), "kid"),
    "openid: a kid of an odd type": (lambda h: unsigned(openid_claims(h), {"alg": "ES256", "kid": 1}), "kid"),
    "openid: none": (
        lambda h: unsigned(openid_claims(h), {"alg": "none", "kid": h.keys["oidc"].kid}),
        "alg",
    ),
    "openid: None": (
        lambda h: unsigned(openid_claims(h), {"alg": "nOnE", "kid": h.keys["oidc"].kid}),
        "alg",
    ),
    "openid: the public key as a secret": (lambda h: confused(h.keys["oidc"], openid_claims(h)), "alg"),
    "openid: an algorithm of another key": (
        lambda h: unsigned(openid_claims(h), {"alg": "RS256", "kid": h.keys["oidc"].kid}),
        "alg",
    ),
    "openid: an algorithm that is not pinned": (
        lambda h: unsigned(openid_claims(h), {"alg": "ES512", "kid": h.keys["oidc"].kid}),
        "alg",
    ),
    "openid: jwk in the header": (with_a_key_in_its_header, "unknown key"),
    "openid: jku in the header": (
        lambda h: signed(
            h.oidc.new_key("EC", published=False), openid_claims(h), {"jku": "http://127.0.0.1:1/jwks"}
        ),
        "unknown key",
    ),
    "openid: x5u in the header": (
        lambda h: signed(
            h.oidc.new_key("EC", published=False), openid_claims(h), {"x5u": "http://127.0.0.1:1/c"}
        ),
        "unknown key",
    ),
    "openid: crit": (
        lambda h: unsigned(openid_claims(h), {"alg": "ES256", "kid": h.keys["oidc"].kid, "crit": ["exp"]}),
        "crit",
    ),
    "openid: the payload of another": (tampered, "signature"),
    "openid: no signature": (lambda h: openid(h).rsplit(".", 1)[0] + ".", "signature"),
    "openid: a name twice": (a_name_twice, "another key"),
    "openid: another kind of token": (lambda h: openid(h, {"typ": "logout+jwt"}), "typ"),
    "openid: expired": (lambda h: openid(h, exp=int(NOW()) - 30), "expired"),
    "openid: no expiry": (lambda h: openid(h, exp=None), "exp"),
    "openid: an expiry of an odd type": (lambda h: openid(h, exp="tomorrow"), "exp"),
    "openid: an endless expiry": (lambda h: openid(h, exp=2**60), "exp"),
    "openid: lives too long": (lambda h: openid(h, exp=int(NOW()) + 90_000), "lives too long"),
    "openid: not valid yet": (lambda h: openid(h, nbf=int(NOW()) + 60), "not valid yet"),
    "openid: issued in the future": (lambda h: openid(h, iat=int(NOW()) + 60), "issued in the future"),
    "openid: nobody": (lambda h: openid(h, sub=None), "sub"),
    "openid: an empty name": (lambda h: openid(h, sub=""), "sub"),
    "openid: a subject of an odd type": (lambda h: openid(h, sub={"id": 1}), "sub"),
    "openid: an endless name": (lambda h: openid(h, sub="x" * 300), "sub"),
    "openid: huge": (lambda h: openid(h, more="x" * 40_000), "too long"),
    "openid: signed by the organization's other issuer": (
        lambda h: signed(h.keys["clerk"], openid_claims(h)),
        "unknown key",
    ),
    "openid: of an issuer that nobody trusts": (
        lambda h: openid(h, iss="https://nobody.example.org"),
        "another key",
    ),
}
# Of what names no issuer that is trusted, our own verifier says so in its own words.
OWN_WORDS = ("another key", "too long")


def test_the_table_is_long_enough() -> None:
    assert len(ACCEPTED) + len(WITHOUT_THE_ROLE) + len(REFUSED) >= 70


@pytest.mark.parametrize("case", ACCEPTED)
async def test_accepted(house: House, case: str) -> None:
    for gateway in range(2):
        answer = await house.get(ACCEPTED[case](house), gateway=gateway)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("case", WITHOUT_THE_ROLE)
async def test_accepted_without_the_role(house: House, case: str) -> None:
    token = WITHOUT_THE_ROLE[case](house)
    assert (await house.get(token, house.below)).status_code == 200
    answer = await house.get(token)
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_missing")


@pytest.mark.parametrize("case", REFUSED)
async def test_refused(house: House, case: str) -> None:
    make, detail = REFUSED[case]
    for path in (house.below, "/v1/me"):
        answer = await house.get(make(house), path)
        body = answer.json()
        assert answer.status_code == 401, answer.text
        assert answer.headers["www-authenticate"].startswith("Bearer")
        if detail in OWN_WORDS:
            assert body["code"] in ("token_invalid", "foreign_token_invalid")
        else:
            assert (body["code"], body["detail"]) == ("foreign_token_invalid", detail)


# ---- what the organization decides ----


async def test_who_is_not_known_becomes_a_member_once_however_many_ask(house: House) -> None:
    token = openid(house, sub="somebody-new", email="new@example.org", name="Somebody New", groups=[])
    answers = await asyncio.gather(*(house.get(token, house.below, n % 2) for n in range(12)))
    assert {answer.status_code for answer in answers} == {200}
    me = (await house.get(token, "/v1/me")).json()
    assert (me["email"], me["name"]) == ("new@example.org", "Somebody New")
    listed = (await house.owner.call("GET", f"{house.below}/members?limit=200", 200)).json()["items"]
    assert [one["role"] for one in listed if one["user"] == me["id"]] == ["member"]
    orgs = (await house.get(token, "/v1/orgs")).json()["items"]
    assert [one["slug"] for one in orgs] == [house.org]


async def test_nobody_joins_where_that_is_not_allowed(house: House) -> None:
    with foreign.serving() as issuer:
        key = issuer.new_key()
        await house.trust("oidc", issuer, joining=False)
        token = signed(key, foreign.claims(issuer, aud=AUDIENCE, email="x@example.org", email_verified=True))
        answer = await house.get(token, house.below)
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_user_unknown")


async def test_a_suspended_member_is_refused_whatever_the_token_says(house: House) -> None:
    token = openid(house, sub="to-be-suspended")
    me = (await house.get(token, "/v1/me")).json()["id"]
    member = f"{house.below}/members/{me}"
    moved = await house.owner.call("PUT", member, 200, json={"active": False})
    after = {"mes-after": moved.headers["mes-version"]}
    for gateway in range(2):
        assert (await house.get(token, house.below, gateway, after)).status_code == 404
    await house.owner.call("PUT", member, 200, json={"active": True})
    assert (await house.get(token)).status_code == 200


async def test_an_issuer_of_one_organization_opens_no_other(house: House) -> None:
    """Not even one that trusts nobody, or where the same person is somebody else."""
    stranger = await somebody(house.portal.gateways[0])
    other = await stranger.make_org()
    token = openid(house, email=stranger.email, email_verified=True)
    theirs = await house.get(token, f"/v1/orgs/{other}")
    nobodys = await house.get(token, "/v1/orgs/none-at-all")
    assert (theirs.status_code, nobodys.status_code) == (404, 404)
    assert (await house.get(token, "/v1/me")).json()["id"] != stranger.id
    await stranger.http.aclose()


async def test_two_organizations_may_trust_one_issuer_and_a_client_says_which(house: House) -> None:
    other = await house.owner.make_org()
    with foreign.serving() as issuer:
        key = issuer.new_key()
        settings = settings_of("oidc", issuer)
        for org in (house.org, other):
            await house.owner.call(
                "POST",
                f"/v1/orgs/{org}/identity-providers",
                201,
                json={"name": "Shared", "settings": settings},
            )
        token = signed(key, foreign.claims(issuer, aud=AUDIENCE))
        users = set()
        for org in (house.org, other):
            assert (await house.get(token, f"/v1/orgs/{org}")).status_code == 200
            me = await house.get(token, "/v1/me", headers={"mes-org": org})
            users.add(me.json()["id"])
            listed = (await house.get(token, "/v1/orgs", headers={"mes-org": org})).json()["items"]
            assert [one["slug"] for one in listed] == [org]
        assert len(users) == 2
        answer = await house.get(token, "/v1/me")
        assert (answer.status_code, answer.json()["code"]) == (400, "issuer_ambiguous")


async def test_a_key_that_is_rotated_is_found_and_one_that_is_withdrawn_is_not_believed(house: House) -> None:
    with foreign.serving() as issuer:
        first = issuer.new_key()
        await house.trust("oidc", issuer)
        said = foreign.claims(issuer, aud=AUDIENCE)
        assert (await house.get(signed(first, said), house.below)).status_code == 200
        second = issuer.new_key()
        issuer.withdraw(first)
        # A token with the new key makes the gateway ask again, at most every few seconds.
        await eventually(lambda: is_let_in(house, signed(second, said)), "the new key is known")
        answer = await house.get(signed(first, said), house.below)
        assert (answer.status_code, answer.json()["detail"]) == (401, "unknown key")


async def is_let_in(house: House, token: str) -> bool:
    return (await house.get(token, house.below)).status_code == 200


async def test_forged_key_names_do_not_become_load_on_the_issuer(house: House) -> None:
    with foreign.serving() as issuer:
        key = issuer.new_key()
        await house.trust("oidc", issuer)
        said = foreign.claims(issuer, aud=AUDIENCE)
        assert (await house.get(signed(key, said), house.below)).status_code == 200
        asked = issuer.asked
        forged = [signed(key, said, {"kid": f"forged-{n}"}) for n in range(40)]
        answers = await asyncio.gather(*(house.get(token, house.below) for token in forged))
        assert {answer.status_code for answer in answers} == {401}
        # Two documents each time, and the cool-down may end once meanwhile.
        assert issuer.asked - asked <= 4


async def test_an_issuer_that_is_down_does_not_sign_its_people_out(house: House) -> None:
    with foreign.serving() as issuer:
        key = issuer.new_key()
        await house.trust("oidc", issuer)
        said = foreign.claims(issuer, aud=AUDIENCE)
        assert (await house.get(signed(key, said), house.below)).status_code == 200
        issuer.down = True
        assert (await house.get(signed(key, {**said, "jti": "2"}), house.below)).status_code == 200


async def test_what_an_issuer_may_say_is_changed_at_once(house: House) -> None:
    with foreign.serving() as issuer:
        key = issuer.new_key()
        name = await house.trust("oidc", issuer)
        token = signed(key, foreign.claims(issuer, aud=AUDIENCE, groups=["auditors"]))
        path = f"{house.below}/identity-providers/{name}"
        for gateway in range(2):
            await eventually(partial(allowed, house, token, gateway), "the gateway knows the issuer")
        narrower = settings_of("oidc", issuer, roles={})
        changed = await house.owner.call("PATCH", path, 200, json={"settings": narrower})
        after = {"mes-after": changed.headers["mes-version"]}
        for gateway in range(2):
            assert (await house.get(token, gateway=gateway, headers=after)).status_code == 403
        stricter = settings_of("oidc", issuer, audiences=["https://other.example.org"])
        changed = await house.owner.call("PATCH", path, 200, json={"settings": stricter})
        after = {"mes-after": changed.headers["mes-version"]}
        for gateway in range(2):
            await eventually(partial(refused, house, token, gateway), "the stricter settings count")
        await house.owner.call("DELETE", path, 204)
        for gateway in range(2):
            await eventually(partial(refused, house, token, gateway), "the issuer is gone")


async def allowed(house: House, token: str, gateway: int) -> bool:
    return (await house.get(token, gateway=gateway)).status_code == 200


async def refused(house: House, token: str, gateway: int) -> bool:
    return (await house.get(token, gateway=gateway)).status_code == 401


# ---- what may be registered ----


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"audiences": []}, 422, "issuer_not_restricted"),
        ({"roles": {"x": "owner"}}, 422, "ownership_not_mapped"),
        ({"default_role": "owner"}, 422, "ownership_not_mapped"),
        ({"roles": {"x": "no-such-role"}}, 404, "role_not_found"),
        ({"issuer": "ftp://example.org"}, 422, "invalid_body"),
        ({"issuer": "https://user@example.org"}, 422, "invalid_body"),
        ({"algorithms": ["HS256"]}, 422, "invalid_body"),
        ({"algorithms": ["none"]}, 422, "invalid_body"),
        ({"skew_s": 600}, 422, "invalid_body"),
    ],
)
async def test_odd_issuers_are_refused(house: House, more: dict[str, Any], status: int, code: str) -> None:
    settings = {**settings_of("oidc", ForeignIssuer("https://id.example.org")), **more}
    body = {"name": "Odd", "settings": settings}
    answer = await house.owner.call("POST", f"{house.below}/identity-providers", status, json=body)
    assert answer.json()["code"] == code


async def test_nobody_trusts_an_issuer_with_more_than_they_hold(house: House) -> None:
    keeper = await somebody(house.portal.gateways[0])
    role = {"role": "keeper", "name": "Keeper", "permissions": ["issuer:update", "org:read", "member:read"]}
    await house.owner.call("POST", f"{house.below}/roles", 201, json=role)
    await house.owner.invite(house.org, keeper, "keeper")
    body = {"name": "X", "settings": settings_of("oidc", ForeignIssuer("https://id2.example.org"))}
    answer = await keeper.call("POST", f"{house.below}/identity-providers", 403, json=body)
    assert answer.json()["code"] == "permission_missing"
    await keeper.http.aclose()
