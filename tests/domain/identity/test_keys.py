"""Derived tokens, and the claims of signed ones."""

from datetime import timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from services.identity.keys.domain import INVITATION, REFRESH
from services.identity.keys.tokens import TokenMaker, new_keyring
from tests.domain.identity.builders import NOW, a_session, an_account


@pytest.fixture(scope="module")
def maker() -> TokenMaker:
    made = TokenMaker("mes", timedelta(minutes=10))
    made.use(new_keyring(NOW))
    return made


def test_a_refresh_token_is_the_same_each_time_it_is_derived(maker: TokenMaker) -> None:
    first = maker.tokens(a_session(), an_account(), NOW)
    again = maker.tokens(a_session(), an_account(), NOW + timedelta(hours=1))
    assert first.refresh_token == again.refresh_token
    assert maker.claim(first.refresh_token) == ("ses_1", 3)


def test_a_changed_token_is_none_of_ours(maker: TokenMaker) -> None:
    token = maker.keyring.seal(REFRESH, "ses_1", "3")
    for other in (token.replace(".3.", ".4."), token[:-1], token + "A", "", "..", "ses_1.3.é"):
        assert maker.claim(other) is None


def test_a_token_for_one_purpose_is_none_for_another(maker: TokenMaker) -> None:
    assert maker.keyring.unseal(REFRESH, maker.keyring.seal(INVITATION, "org_1", "inv_1")) is None


def test_an_access_token_says_what_rfc_9068_asks(maker: TokenMaker) -> None:
    tokens = maker.tokens(a_session(), an_account(), NOW)
    key = ECKey.import_key(maker.public().keys[0])
    token = jwt.decode(tokens.access_token, key)
    assert token.header == {"typ": "at+jwt", "alg": "ES256", "kid": key.kid}
    issued = int(NOW.timestamp())
    assert token.claims == {
        "iss": "mes",
        "aud": "mes",
        "sub": "usr_ada",
        "client_id": "mes",
        "iat": issued,
        "exp": issued + 600,
        "jti": token.claims["jti"],
        "sid": "ses_1",
        "email": "ada@example.com",
        "name": "Ada",
    }


def test_the_public_keys_are_public(maker: TokenMaker) -> None:
    assert all("d" not in key for key in maker.public().keys)
