"""Rules of authenticator apps, recovery codes and passkeys."""

from datetime import timedelta

import pyotp
import pytest

from services.identity.factors import domain
from services.identity.factors.domain import SecondFactor
from services.identity.passkeys import domain as passkeys
from services.identity.passkeys.domain import StoredPasskey
from tests.domain.identity.builders import NOW, an_account

SECRET = domain.totp_secret(bytes(range(32)))
TEXTS = domain.recovery_texts(b"material")


def code_at(seconds: int = 0) -> str:
    return pyotp.TOTP(SECRET).at(NOW + timedelta(seconds=seconds))


def confirmed() -> SecondFactor:
    factor = domain.enrol(None, "usr_ada", "enrolment", NOW)
    return domain.confirm(factor, SECRET, code_at(-60 + 30), "set", TEXTS, NOW)[0]


def a_passkey(count: int = 5) -> StoredPasskey:
    return StoredPasskey(
        id="pky_1", credential="abc", user="usr_ada", name="Phone", public_key="key", sign_count=count,
        created_at=NOW, revision=1,
    )  # fmt: skip


def test_an_app_counts_only_once_a_code_of_it_was_shown() -> None:
    started = domain.enrol(None, "usr_ada", "enrolment", NOW)
    assert not domain.is_on(started)
    with pytest.raises(domain.CodeRefused):
        domain.confirm(started, SECRET, "000000", "set", TEXTS, NOW)
    assert domain.is_on(confirmed())


def test_an_app_that_waits_may_be_started_anew_and_one_that_counts_may_not() -> None:
    started = domain.enrol(None, "usr_ada", "first", NOW)
    assert domain.enrol(started, "usr_ada", "second", NOW).enrolment == "second"
    with pytest.raises(domain.TotpExists):
        domain.enrol(confirmed(), "usr_ada", "third", NOW)


def test_a_code_works_once_and_so_do_all_before_it() -> None:
    used = domain.use(confirmed(), SECRET, code_at(), NOW)
    for seconds in (0, -30):
        with pytest.raises(domain.CodeRefused):
            domain.use(used.factor, SECRET, code_at(seconds), NOW)
    domain.use(used.factor, SECRET, code_at(30), NOW + timedelta(seconds=30))


def test_a_clock_may_be_off_by_one_step_and_not_by_two() -> None:
    domain.use(confirmed(), SECRET, code_at(30), NOW)
    with pytest.raises(domain.CodeRefused):
        domain.use(confirmed(), SECRET, code_at(60), NOW)


def test_a_recovery_code_works_once_however_it_is_typed() -> None:
    typed = f" {TEXTS[3].upper().replace('-', ' ')} "
    used = domain.use(confirmed(), SECRET, typed, NOW)
    assert len(used.factor.left) == domain.RECOVERY_CODES - 1
    assert [event.summary() for event in used.events] == ["recovery code used, 9 left"]
    with pytest.raises(domain.CodeRefused):
        domain.use(used.factor, SECRET, TEXTS[3], NOW)


def test_new_recovery_codes_end_the_former_ones() -> None:
    replaced, _ = domain.replace_codes(confirmed(), "other", domain.recovery_texts(b"other"))
    with pytest.raises(domain.CodeRefused):
        domain.use(replaced, SECRET, TEXTS[0], NOW)


def test_what_is_kept_tells_neither_the_secret_nor_a_code() -> None:
    kept = confirmed().model_dump_json()
    assert SECRET not in kept
    assert not [text for text in TEXTS if text in kept or text.replace("-", "") in kept]


@pytest.mark.parametrize("code", ["", "12345", "１２３４５６", "abcdef", "-" * 30])
def test_nonsense_is_no_code(code: str) -> None:
    with pytest.raises(domain.CodeRefused):
        domain.use(confirmed(), SECRET, code, NOW)


def test_the_app_stays_while_the_password_is_too_short_to_be_alone() -> None:
    short = an_account().model_copy(update={"password_is_long": False})
    with pytest.raises(domain.PasswordNeedsSecondFactor):
        domain.remove(confirmed(), short)
    empty, _ = domain.remove(confirmed(), an_account())
    assert not domain.is_on(empty)
    with pytest.raises(domain.TotpNotFound):
        domain.confirm(empty, SECRET, code_at(), "set", TEXTS, NOW)
    assert domain.enrol(empty, "usr_ada", "another", NOW).revision == empty.revision + 1


def test_a_counter_that_does_not_grow_shows_a_clone() -> None:
    for count in (5, 4, 0):
        with pytest.raises(passkeys.PasskeyCloned):
            passkeys.use(a_passkey(count=5), count, NOW)
    used, _ = passkeys.use(a_passkey(count=5), 6, NOW)
    assert used.sign_count == 6


def test_an_authenticator_that_does_not_count_is_no_clone() -> None:
    used, _ = passkeys.use(a_passkey(count=0), 0, NOW)
    assert used.sign_count == 0


def test_a_passkey_that_was_cloned_stays_refused() -> None:
    with pytest.raises(passkeys.PasskeyCloned):
        passkeys.use(passkeys.distrusted(a_passkey()), 99, NOW)


def test_an_account_has_so_many_passkeys_and_each_once() -> None:
    with pytest.raises(passkeys.PasskeyExists):
        passkeys.add(a_passkey(), a_passkey(), 1)
    with pytest.raises(passkeys.TooManyPasskeys):
        passkeys.add(a_passkey(), None, passkeys.MOST_PASSKEYS)


def test_a_passkey_is_its_users_own() -> None:
    with pytest.raises(passkeys.PasskeyNotFound):
        passkeys.remove(a_passkey(), "usr_eve")
