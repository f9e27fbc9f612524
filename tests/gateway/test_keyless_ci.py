"""Keyless CI: a runner's own token becomes a short one of ours, by rules on what cannot be renamed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet

from deploy.local import LocalPortal
from tests.foreign import ForeignIssuer, confused, serving, signed, unsigned
from tests.gateway.conftest import eventually
from tests.portal import Person, somebody

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
AUDIENCE = "https://portal.example.org"


@dataclass
class Ci:
    """An organization whose service account trusts one repository's runs of main."""

    url: str
    owner: Person
    org: str
    account: str
    rule: str
    issuer: ForeignIssuer
    key: Key
    # Published from the start, so that nothing but the algorithm speaks against what they sign.
    elliptic: Key
    unpinned: Key

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What the platform says of one job; `...` leaves a claim out."""
        now = int(time.time())
        good = {
            "iss": self.issuer.url,
            "aud": AUDIENCE,
            "sub": "repo:acme/shop:ref:refs/heads/main",
            "jti": secrets.token_hex(16),
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "repository": "acme/shop",
            "repository_id": "4711",
            "repository_owner_id": "42",
            "ref": "refs/heads/main",
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not ...}

    async def exchanges(self, token: str, **more: str) -> httpx.Response:
        form = {
            "grant_type": GRANT,
            "client_id": self.account,
            "subject_token": token,
            "subject_token_type": JWT,
            **more,
        }
        async with httpx.AsyncClient(base_url=self.url, timeout=20) as http:
            return await http.post("/oauth/token", data=form)

    async def makes_rule(self, person: Person | None = None, **changes: Any) -> httpx.Response:
        body = {
            "issuer": self.issuer.url,
            "audience": AUDIENCE,
            "claims": {"repository_id": "4711", "ref": "refs/heads/main"},
            "permissions": ["app:read", "version:read", "version:publish"],
            **changes,
        }
        path = f"/v1/orgs/{self.org}/service-accounts/{self.account}/trust-rules"
        return await (person or self.owner).call("POST", path, json=body)


@pytest.fixture(scope="module")
def issuer() -> Iterator[ForeignIssuer]:
    with serving() as started:
        yield started


@pytest_asyncio.fixture(scope="module")
async def ci(portal: LocalPortal, issuer: ForeignIssuer) -> AsyncIterator[Ci]:
    owner = await somebody(portal.gateways[0])
    org = await owner.make_org()
    made = await owner.call(
        "POST", f"/v1/orgs/{org}/service-accounts", 201, json={"slug": "ci", "name": "CI"}
    )
    subject = {"type": "service_account", "id": made.json()["id"]}
    body = {"subject": subject, "role": "developer", "resource": org}
    await owner.call("POST", f"/v1/orgs/{org}/assignments", 201, json=body)
    keys = (issuer.new_key(), issuer.new_key("EC"), issuer.new_key(alg="PS256"))
    started = Ci(portal.gateways[0], owner, org, made.json()["id"], "", issuer, *keys)
    rule = await started.makes_rule()
    assert rule.status_code == 201, rule.text
    started.rule = rule.json()["id"]
    yield started
    await owner.http.aclose()


async def test_a_runner_publishes_without_a_key(portal: LocalPortal, ci: Ci) -> None:
    app = await ci.owner.make_app(ci.org)
    claims = ci.claims()
    answer = await ci.exchanges(signed(ci.key, claims))
    assert answer.status_code == 200, answer.text
    granted = answer.json()
    assert granted["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert 890 <= granted["expires_in"] <= 900
    assert "refresh_token" not in granted
    async with httpx.AsyncClient(base_url=ci.url, timeout=20) as http:
        keys = KeySet.import_key_set((await http.get("/.well-known/jwks.json")).json())
    said = jwt.decode(granted["access_token"], keys, algorithms=["ES256"]).claims
    assert (said["sub"], said["needs"]) == (ci.account, [ci.rule])
    assert said["act"] == {"iss": ci.issuer.url, "sub": claims["sub"]}
    http = httpx.AsyncClient(
        base_url=ci.url, timeout=20, headers={"authorization": f"Bearer {granted['access_token']}"}
    )
    runner = Person("ci", ci.account, granted["access_token"], "", http)
    await runner.publish(ci.org, app, "1.0.0")
    # The account may roll out, this token may not: the rule does not give it.
    refused = await runner.roll_out(ci.org, app, "1.0.0", status=403)
    assert refused.json()["code"] == "permission_missing"
    await http.aclose()

    async def told() -> list[dict[str, Any]]:
        page = await ci.owner.call(
            "GET",
            f"/v1/orgs/{ci.org}/audit/events",
            200,
            params={"actor": ci.account, "action": "identity.token_issued"},
        )
        items: list[dict[str, Any]] = page.json()["items"]
        return items

    entries = await eventually(told, "the exchange is in the log")
    assert entries[0]["data"]["runner"] == claims["sub"]
    assert entries[0]["data"]["by"] == ci.rule


async def test_tokens_of_a_rule_end_with_it_at_every_gateway(portal: LocalPortal, ci: Ci) -> None:
    rule = (await ci.makes_rule(claims={"repository_id": "99"})).json()["id"]
    granted = (await ci.exchanges(signed(ci.key, ci.claims(repository_id="99")))).json()
    headers = {"authorization": f"Bearer {granted['access_token']}"}
    async with httpx.AsyncClient(timeout=20, headers=headers) as http:
        path = f"/v1/orgs/{ci.org}/apps"
        assert (await http.get(portal.gateways[0] + path)).status_code == 200
        rules = f"/v1/orgs/{ci.org}/service-accounts/{ci.account}/trust-rules"
        await ci.owner.call("DELETE", f"{rules}/{rule}", 204)
        assert (await http.get(portal.gateways[0] + path)).status_code == 401

        async def heard() -> bool:
            return (await http.get(portal.gateways[1] + path)).status_code == 401

        await eventually(heard, "the other gateway refuses the token")
        left = (await ci.owner.call("GET", rules, 200)).json()["items"]
        assert rule not in {one["id"] for one in left}


async def test_a_token_is_exchanged_once_and_its_own_request_repeated(ci: Ci) -> None:
    token = signed(ci.key, ci.claims())
    answers = await asyncio.gather(*(ci.exchanges(token) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    assert {answer.json()["error"] for answer in answers if answer.status_code == 400} == {"invalid_grant"}
    form = {"grant_type": GRANT, "client_id": ci.account, "subject_token_type": JWT}
    form["subject_token"] = signed(ci.key, ci.claims())
    async with httpx.AsyncClient(base_url=ci.url, timeout=20) as http:
        repeated = [
            await http.post("/oauth/token", data=form, headers={"idempotency-key": "run 7"}) for _ in range(2)
        ]
    assert [answer.status_code for answer in repeated] == [200, 200]


# What a runner may show, and what is wrong with it.
WRONG: dict[str, Callable[[Ci], str]] = {
    "another issuer": lambda ci: signed(ci.key, ci.claims(iss="https://elsewhere.example")),
    "the issuer with a slash": lambda ci: signed(ci.key, ci.claims(iss=ci.issuer.url + "/")),
    "no issuer": lambda ci: signed(ci.key, ci.claims(iss=...)),
    "another audience": lambda ci: signed(ci.key, ci.claims(aud="https://elsewhere.example")),
    "our audience among others": lambda ci: signed(ci.key, ci.claims(aud=[AUDIENCE, "https://else.example"])),
    "no audience": lambda ci: signed(ci.key, ci.claims(aud=...)),
    "another repository's id": lambda ci: signed(ci.key, ci.claims(repository_id="4712")),
    "the id as a list": lambda ci: signed(ci.key, ci.claims(repository_id=["4711"])),
    "the id with a space": lambda ci: signed(ci.key, ci.claims(repository_id="4711 ")),
    "the same name, no id": lambda ci: signed(ci.key, ci.claims(repository_id=...)),
    "another branch": lambda ci: signed(ci.key, ci.claims(ref="refs/heads/evil")),
    "a branch that begins the same": lambda ci: signed(ci.key, ci.claims(ref="refs/heads/main2")),
    "expired": lambda ci: signed(ci.key, ci.claims(exp=int(time.time()) - 60)),
    "no expiry": lambda ci: signed(ci.key, ci.claims(exp=...)),
    "an expiry that is text": lambda ci: signed(ci.key, ci.claims(exp="tomorrow")),
    "good for a year": lambda ci: signed(ci.key, ci.claims(exp=int(time.time()) + 365 * 86_400)),
    "not good yet": lambda ci: signed(ci.key, ci.claims(nbf=int(time.time()) + 600)),
    "made in the future": lambda ci: signed(ci.key, ci.claims(iat=int(time.time()) + 600)),
    "no id of its own": lambda ci: signed(ci.key, ci.claims(jti=...)),
    "unsigned": lambda ci: unsigned(ci.claims(), {"alg": "none", "typ": "JWT", "kid": ci.key.kid}),
    "unsigned, in capitals": lambda ci: unsigned(ci.claims(), {"alg": "NONE", "kid": ci.key.kid}),
    "an algorithm that is not pinned": lambda ci: signed(ci.unpinned, ci.claims(), {"alg": "PS256"}),
    "the public key as a secret": lambda ci: confused(ci.elliptic, ci.claims()),
    "a key that is not published": lambda ci: signed(ci.issuer.new_key(published=False), ci.claims()),
    "another's key under a known id": lambda ci: signed(
        ECKey.generate_key("P-256", {"kid": str(ci.key.kid)}), ci.claims()
    ),
    "a key of its own in the header": lambda ci: signed(
        own := ECKey.generate_key("P-256", {"kid": "own"}), ci.claims(), {"jwk": own.as_dict(private=False)}
    ),
    "keys of its own by address": lambda ci: signed(
        ECKey.generate_key("P-256", {"kid": "own"}), ci.claims(), {"jku": "https://evil.example/jwks"}
    ),
    "a critical header": lambda ci: signed(ci.key, ci.claims(), {"crit": ["b64"], "b64": True}),
    "not a token": lambda ci: "nonsense",
    "two dots": lambda ci: "..",
    "one of our own tokens": lambda ci: ci.owner.token,
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_is_not_such_a_runners_token_gets_nothing(ci: Ci, what: str) -> None:
    answer = await ci.exchanges(WRONG[what](ci))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] == "invalid_grant"
    assert answer.headers["cache-control"] == "no-store"


async def test_the_same_token_as_it_should_be_is_taken(ci: Ci) -> None:
    """Otherwise the refusals above could be those of a grant that never works."""
    assert (await ci.exchanges(signed(ci.key, ci.claims()))).status_code == 200
    assert (await ci.exchanges(signed(ci.elliptic, ci.claims()))).status_code == 200
    assert (await ci.exchanges(signed(ci.key, ci.claims(aud=[AUDIENCE])))).status_code == 200
    assert (await ci.exchanges(signed(ci.key, ci.claims(repository_id=4711)))).status_code == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "sva_000000000000000000000000"}, "invalid_target"),
        ({"client_id": ""}, "invalid_target"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"scope": "rollout:start"}, "invalid_scope"),
    ],
)
async def test_an_exchange_for_something_else_is_refused(ci: Ci, changes: dict[str, str], error: str) -> None:
    answer = await ci.exchanges(signed(ci.key, ci.claims()), **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"claims": {"repository": "acme/shop"}}, 422, "rule_not_immutable"),
        ({"claims": {"repository": "acme/shop", "ref": "refs/heads/main"}}, 422, "rule_not_immutable"),
        ({"claims": {}}, 422, "rule_not_immutable"),
        ({"claims": {"sub": "repo:acme/shop:ref:refs/heads/main"}}, 422, "rule_not_immutable"),
        ({"claims": {"sub": "runner-*"}}, 422, "claim_not_matchable"),
        ({"claims": {"repository_id": "*"}}, 422, "claim_not_matchable"),
        ({"claims": {"repository_id": "1", "aud": "x"}}, 422, "claim_not_matchable"),
        ({"claims": {"sub": "runner-7"}}, 201, None),
        ({"claims": {"project_id": "7", "environment": "production"}}, 201, None),
        ({"issuer": "ftp://ci.example.org"}, 422, None),
        ({"issuer": "https://user@ci.example.org"}, 422, None),
        ({"permissions": ["version:publish", "nonsense"]}, 422, None),
    ],
)
async def test_a_rule_names_what_cannot_become_somebody_elses(
    ci: Ci, changes: dict[str, Any], status: int, code: str | None
) -> None:
    answer = await ci.makes_rule(**changes)
    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["code"] == code


async def test_nobody_makes_a_rule_that_gives_what_they_do_not_hold(portal: LocalPortal, ci: Ci) -> None:
    keeper = await somebody(portal.gateways[0])
    body = {"role": "keeper", "name": "Keeper", "permissions": ["org:read", "account:update", "app:read"]}
    await ci.owner.call("POST", f"/v1/orgs/{ci.org}/roles", 201, json=body)
    await ci.owner.invite(ci.org, keeper, "keeper")
    refused = await ci.makes_rule(keeper)
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_missing")
    assert (await ci.makes_rule(keeper, permissions=["app:read"])).status_code == 201


async def test_a_rule_does_not_make_the_portal_ask_inside_the_network(ci: Ci) -> None:
    """Loopback is allowed here, for the tests; other internal addresses never are."""
    await ci.makes_rule(issuer="http://169.254.169.254", claims={"repository_id": "1"})
    token = signed(ci.key, ci.claims(iss="http://169.254.169.254", repository_id="1"))
    began = time.monotonic()
    answer = await ci.exchanges(token)
    assert answer.json()["error"] == "invalid_grant"
    assert time.monotonic() - began < 2
