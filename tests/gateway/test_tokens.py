"""Only an access token that identity signed, for this portal, of a session that goes on, opens anything."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from pymongo import MongoClient
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from deploy.local import LocalPortal
from gateway.sockets import SIGNED_OUT
from tests.gateway.conftest import eventually
from tests.portal import PASSWORD, Person, signed_in, somebody


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def read(text: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded


@dataclass
class Genuine:
    """A token that works, in its parts, with the public key that proves it."""

    token: str
    header: dict[str, Any]
    claims: dict[str, Any]
    key: dict[str, Any]

    def signed_by(self, key: Any, header: dict[str, Any], claims: dict[str, Any] | None = None) -> str:
        """The same claims under somebody else's signature."""
        lenient = JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
        return jwt.encode({**self.header, **header}, claims or self.claims, key, registry=lenient)

    def hmac_signed(self, secret: bytes) -> str:
        """By hand: libraries refuse to take a public key for a secret, attackers do not."""
        signed = f"{part({**self.header, 'alg': 'HS256'})}.{part(self.claims)}"
        return f"{signed}.{part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


@pytest.fixture(scope="module")
async def person(portal: LocalPortal) -> AsyncIterator[Person]:
    made = await somebody(portal.url)
    yield made
    await made.http.aclose()


@pytest.fixture(scope="module")
async def genuine(portal: LocalPortal, person: Person) -> Genuine:
    header, claims, _ = person.token.split(".")
    async with httpx.AsyncClient(base_url=portal.url) as http:
        keys = {key["kid"]: key for key in (await http.get("/.well-known/jwks.json")).json()["keys"]}
    # The next one is published before it signs.
    assert len(keys) >= 2
    key = keys[read(header)["kid"]]
    return Genuine(person.token, read(header), read(claims), key)


OURS = ECKey.generate_key("P-256", private=True)
RSA = RSAKey.generate_key(2048, private=True)
ED = OKPKey.generate_key("Ed25519", private=True)


def es256(genuine: Genuine, claims: dict[str, Any] | None = None, **header: Any) -> str:
    return genuine.signed_by(OURS, {"alg": "ES256", **header}, claims)


def replaced(
    genuine: Genuine, header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None
) -> str:
    """Other words under the genuine signature."""
    words = (part({**genuine.header, **(header or {})}), part({**genuine.claims, **(claims or {})}))
    return ".".join((*words, genuine.token.split(".")[2]))


def flipped(token: str) -> str:
    """One bit of the signature is another."""
    head, body, signature = token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[5] ^= 1
    return f"{head}.{body}.{part(bytes(raw))}"


public = {"kty": "EC", **{name: OURS.as_dict(private=False)[name] for name in ("crv", "x", "y")}}

FORGED: dict[str, Callable[[Genuine], str]] = {
    "later expiry": lambda g: replaced(g, claims={"exp": g.claims["exp"] + 3600}),
    "another subject": lambda g: replaced(g, claims={"sub": "usr_somebody_else"}),
    "another session": lambda g: replaced(g, claims={"sid": "ses_another"}),
    "another issuer": lambda g: replaced(g, claims={"iss": "https://elsewhere.example"}),
    "another audience": lambda g: replaced(g, claims={"aud": "elsewhere"}),
    "another typ": lambda g: replaced(g, header={"typ": "JWT"}),
    "no typ": lambda g: f"{part({'alg': 'ES256', 'kid': g.header['kid']})}.{g.token.split('.', 1)[1]}",
    "a bit of the signature": lambda g: flipped(g.token),
    "none, unsigned": lambda g: f"{part({**g.header, 'alg': 'none'})}.{part(g.claims)}.",
    "none, with the signature": lambda g: replaced(g, header={"alg": "none"}),
    "NoNe": lambda g: f"{part({**g.header, 'alg': 'NoNe'})}.{part(g.claims)}.",
    "no alg": lambda g: f"{part({'typ': 'at+jwt', 'kid': g.header['kid']})}.{g.token.split('.', 1)[1]}",
    "public key as secret, JSON": lambda g: g.hmac_signed(json.dumps(g.key).encode()),
    "public key as secret, PEM": lambda g: g.hmac_signed(ECKey.import_key(g.key).as_pem(private=False)),
    "public key as secret, DER": lambda g: g.hmac_signed(ECKey.import_key(g.key).as_der(private=False)),
    "public key as secret, x": lambda g: g.hmac_signed(base64.urlsafe_b64decode(g.key["x"] + "=")),
    "an empty secret": lambda g: g.hmac_signed(b""),
    "another key, our kid": lambda g: es256(g),
    "another key, its own kid": lambda g: es256(g, kid="theirs"),
    "another key, no kid": lambda g: es256(g, kid=""),
    "another key, a kid that is a path": lambda g: es256(g, kid="../../../../dev/null"),
    "another key in the header": lambda g: es256(g, jwk=public),
    "another key in the header, its own kid": lambda g: es256(g, jwk=public, kid="theirs"),
    "another key at an address": lambda g: es256(g, jku="http://127.0.0.1:9/jwks.json"),
    "another key in a certificate": lambda g: es256(g, x5c=["MIIB"], x5u="http://127.0.0.1:9/"),
    "an RSA key": lambda g: g.signed_by(RSA, {"alg": "RS256"}),
    "an Ed25519 key": lambda g: g.signed_by(ED, {"alg": "Ed25519"}),
    "our signature under another algorithm": lambda g: replaced(g, header={"alg": "ES512"}),
    "a critical extension": lambda g: replaced(g, header={"crit": ["exp"], "exp": 1}),
    "an unencoded payload": lambda g: replaced(g, header={"b64": False, "crit": ["b64"]}),
    "a kid that is no text": lambda g: replaced(g, header={"kid": {"$ne": ""}}),
    "an alg that is no text": lambda g: replaced(g, header={"alg": ["ES256"]}),
    "a header that is a list": lambda g: f"{part([])}.{g.token.split('.', 1)[1]}",
    "a header that is a number": lambda g: f"{part(1)}.{g.token.split('.', 1)[1]}",
    "a deep header": lambda g: f"{part(b'[' * 2000)}.{g.token.split('.', 1)[1]}",
    "no signature": lambda g: g.token.rsplit(".", 1)[0] + ".",
    "two parts": lambda g: g.token.rsplit(".", 1)[0],
    "four parts": lambda g: g.token + ".x",
    "five parts, as if encrypted": lambda g: g.token + ".x.y",
    "truncated": lambda g: g.token[: len(g.token) // 2],
    "one character short": lambda g: g.token[:-1],
    "one character more": lambda g: g.token + "A",
    "twice": lambda g: g.token + g.token,
    "garbage": lambda g: "garbage",
    "dots": lambda g: "...",
    "not base64": lambda g: "ä.ö.ü",
    "very long": lambda g: "a" * 5000,
    "the refresh token's kind": lambda g: "ses_0123456789.1.c2lnbmF0dXJl",
}


def refused(answer: httpx.Response, token: str = "") -> None:
    assert answer.status_code == 401, answer.text
    problem = answer.json()
    assert problem["code"] in ("token_invalid", "token_missing", "session_over")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert problem["trace_id"] == answer.headers["mes-trace"]
    # Short, and nothing of what was sent or how it was judged.
    assert len(problem["detail"]) < 60
    assert "Traceback" not in answer.text
    if len(token) > 10:
        assert token[:20] not in answer.text
        assert token[-20:] not in answer.text


async def me(url: str, authorization: str | bytes) -> httpx.Response:
    raw = authorization if isinstance(authorization, bytes) else authorization.encode()
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        return await http.get("/v1/me", headers=[(b"authorization", raw)])


async def test_the_genuine_token_opens_every_gateway(portal: LocalPortal, genuine: Genuine) -> None:
    """Otherwise nothing below would say anything."""
    for gateway in portal.gateways:
        assert (await me(gateway, f"Bearer {genuine.token}")).status_code == 200
        assert (await me(gateway, f"bearer   {genuine.token}")).status_code == 200


@pytest.mark.parametrize("forgery", FORGED)
async def test_a_forged_token_is_refused(portal: LocalPortal, genuine: Genuine, forgery: str) -> None:
    token = FORGED[forgery](genuine)
    assert token != genuine.token
    for gateway in portal.gateways:
        refused(await me(gateway, f"Bearer {token}"), token)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic YTpi", "Token x", "Bearer\tx", b"Bearer \xff\xfe", "Bearer x, Bearer y"],
)
async def test_other_ways_to_sign_in_are_refused(portal: LocalPortal, header: str | bytes) -> None:
    refused(await me(portal.url, header))


async def test_a_token_in_the_address_is_not_looked_at(portal: LocalPortal, genuine: Genuine) -> None:
    async with httpx.AsyncClient(base_url=portal.url) as http:
        refused(await http.get("/v1/me", params={"access_token": genuine.token, "token": genuine.token}))
        refused(await http.get("/v1/me", headers={"cookie": f"access_token={genuine.token}"}))


@pytest.mark.parametrize("forgery", ["none, unsigned", "public key as secret, PEM", "truncated", "garbage"])
async def test_the_live_socket_refuses_it_too(portal: LocalPortal, genuine: Genuine, forgery: str) -> None:
    for token in (FORGED[forgery](genuine), None, {"a": 1}):
        async with connect(portal.url.replace("http", "ws") + "/v1/live") as socket:
            await socket.send(json.dumps({"type": "connect", "token": token}))
            said = json.loads(await socket.recv())
            assert said["type"] == "error"
            assert said["error"]["code"] == "token_invalid"
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == SIGNED_OUT


async def test_forged_key_ids_do_not_shut_out_the_genuine(portal: LocalPortal, genuine: Genuine) -> None:
    forged = [f"Bearer {es256(genuine, kid=f'kid-{number}')}" for number in range(30)]
    answers = await asyncio.gather(*(me(portal.url, one) for one in forged))
    for answer in answers:
        refused(answer)
    assert (await me(portal.url, f"Bearer {genuine.token}")).status_code == 200


async def test_a_session_that_ended_is_refused_by_every_gateway(portal: LocalPortal) -> None:
    person = await somebody(portal.gateways[0])
    other = await signed_in(portal.gateways[0], person.email, PASSWORD)
    for gateway in portal.gateways:
        # Verified and answered before, so that whatever is remembered of it must be given up.
        assert (await me(gateway, f"Bearer {person.token}")).status_code == 200
    await person.call("DELETE", "/v1/sessions/current", 204)
    # The gateway that ended it knows at once, the other as soon as it has heard.
    refused(await me(portal.gateways[0], f"Bearer {person.token}"), person.token)

    async def heard() -> bool:
        return (await me(portal.gateways[1], f"Bearer {person.token}")).status_code == 401

    await eventually(heard, "the other gateway refuses the ended session")
    answer = await me(portal.gateways[1], f"Bearer {person.token}")
    refused(answer, person.token)
    assert answer.json()["code"] == "session_over"
    again = await person.http.post(
        "/oauth/token", data={"grant_type": "refresh_token", "refresh_token": person.refresh_token}
    )
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert (await other.call("GET", "/v1/me")).status_code == 200, (
        "another session of the same person goes on"
    )
    await asyncio.gather(person.http.aclose(), other.http.aclose())


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "ses_1.1.\u00b2"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x" * 600}, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({}, "invalid_request"),
    ],
)
async def test_what_is_no_refresh_token_refreshes_nothing(
    portal: LocalPortal, form: dict[str, str], error: str
) -> None:
    """In the form that RFC 6749 asks of this one route."""
    async with httpx.AsyncClient(base_url=portal.url) as http:
        answer = await http.post("/oauth/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text
    assert answer.headers["mes-trace"]


async def test_a_wrong_password_and_an_unknown_address_look_the_same(
    portal: LocalPortal, person: Person
) -> None:
    answers = []
    async with httpx.AsyncClient(base_url=portal.url, timeout=20) as http:
        for email, password in ((person.email, "wrong password entirely"), ("no@example.org", PASSWORD)):
            answers.append(await http.post("/v1/sessions", json={"email": email, "password": password}))
    bodies = [{**answer.json(), "trace_id": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert bodies[0] == bodies[1]
    assert bodies[0]["code"] == "sign_in_refused"


# What identity itself would sign but never does: the signature is right, and something else is not.
WRONG: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "expired": ({}, {"exp": -60}),
    "expired long ago": ({}, {"exp": -(10**8)}),
    "an expiry that is text": ({}, {"exp": "tomorrow"}),
    "an expiry that is no number": ({}, {"exp": None}),
    "no expiry": ({}, {"exp": ...}),
    "another issuer": ({}, {"iss": "https://elsewhere.example"}),
    "no issuer": ({}, {"iss": ...}),
    "another audience": ({}, {"aud": "elsewhere"}),
    "several audiences, none of them ours": ({}, {"aud": ["elsewhere", "nowhere"]}),
    "no audience": ({}, {"aud": ...}),
    "no subject": ({}, {"sub": ...}),
    "no session": ({}, {"sid": ...}),
    "not valid yet": ({}, {"nbf": 3600}),
    "an ID token": ({"typ": "JWT"}, {}),
    "a logout token": ({"typ": "logout+jwt"}, {}),
}


@pytest.fixture(scope="module")
def own_key(portal: LocalPortal) -> Any:
    """The portal's own signing key, from its database."""
    client: MongoClient[dict[str, Any]] = MongoClient(portal.mongo_url("identity"))
    with client:
        (found,) = client["identity"]["keyrings"].find({})
    return ECKey.import_key(found["signing"][0])


def signed_by_identity(genuine: Genuine, key: Any, wrong: tuple[dict[str, Any], dict[str, Any]]) -> str:
    """Numbers are seconds from now."""
    header, changes = wrong
    now = int(time.time())
    claims = {
        **genuine.claims,
        **{name: now + value if isinstance(value, int) else value for name, value in changes.items()},
    }
    kept = {name: value for name, value in claims.items() if value is not ...}
    return genuine.signed_by(key, {"alg": "ES256", **header}, kept)


async def test_identitys_signature_alone_is_not_enough(
    portal: LocalPortal, genuine: Genuine, own_key: Any
) -> None:
    right = signed_by_identity(genuine, own_key, ({}, {"jti": "another"}))
    assert (await me(portal.url, f"Bearer {right}")).status_code == 200, "the key is the right one"
    for name, wrong in WRONG.items():
        token = signed_by_identity(genuine, own_key, wrong)
        for gateway in portal.gateways:
            answer = await me(gateway, f"Bearer {token}")
            assert answer.status_code == 401, f"{name}: {answer.text}"
            refused(answer, token)


async def test_a_token_stops_working_when_it_expires_though_it_was_accepted_before(
    portal: LocalPortal, genuine: Genuine, own_key: Any
) -> None:
    token = signed_by_identity(genuine, own_key, ({}, {"exp": 3}))
    gateway = portal.gateways[0]
    assert (await me(gateway, f"Bearer {token}")).status_code == 200

    async def over() -> bool:
        return (await me(gateway, f"Bearer {token}")).status_code == 401

    await eventually(over, "the token expires, in memory too")
    # And it does not come back by being verified afresh.
    refused(await me(gateway, f"Bearer {token}"), token)
