"""Rules of users."""

import pytest
from pydantic import SecretStr

from libs.contracts.identity import RegisterUser, UserRegistered
from services.identity.users import domain
from tests.domain.identity.builders import NOW, an_account


def a_registration(email: str = "ada@example.com") -> RegisterUser:
    return RegisterUser(email=email, name="Ada", password=SecretStr("a horse on a battery"))


def test_an_address_is_kept_in_lower_case() -> None:
    account, events = domain.register(a_registration("Ada@Example.COM"), "usr_1", "hash", NOW)
    assert account.email == "ada@example.com"
    assert events == [UserRegistered(user="usr_1", email="ada@example.com", name="Ada")]


def test_a_taken_address_is_refused() -> None:
    with pytest.raises(domain.EmailTaken):
        domain.check_free(an_account())


def test_what_readers_get_of_a_user_has_no_password() -> None:
    assert "password" not in an_account().view().model_dump_json()


def test_neither_the_event_nor_the_attempt_tells_the_password() -> None:
    _, events = domain.register(a_registration(), "usr_1", "the-hash", NOW)
    assert "hash" not in events[0].model_dump_json()
    assert "horse" not in str(a_registration().attempt())


@pytest.mark.parametrize(
    "password", ["passwordpassword", "ababababababababab", "ada.lovelace@example.com", "               a"]
)
def test_what_everybody_would_guess_is_refused(password: str) -> None:
    with pytest.raises(domain.WeakPassword):
        domain.check_password(password, "Ada.Lovelace@example.com")


def test_a_long_phrase_needs_no_digits_or_signs() -> None:
    domain.check_password("correct horse battery staple", "ada@example.com")


def test_only_a_known_user_counts_as_signed_in() -> None:
    with pytest.raises(domain.SignInRequired):
        domain.signed_in(None)
