"""Rules of mailed links and of letters that wait."""

from datetime import timedelta

import pytest
from pydantic import SecretStr

from libs.contracts.identity import RegisterUser
from services.identity.mail import domain as mail
from services.identity.recovery import domain
from services.identity.recovery.domain import Link
from services.identity.users import domain as users
from services.identity.users.domain import Account
from tests.domain.identity.builders import NOW, an_account

UNTIL = NOW + timedelta(minutes=30)


def a_link(account: Account) -> Link:
    return Link(account.id, int(UNTIL.timestamp()), account.credentials)


def test_a_link_is_good_for_its_account_until_its_time_is_over() -> None:
    account = an_account()
    assert domain.check(a_link(account), account, NOW) is account
    for link, found, now in (
        (None, account, NOW),
        (a_link(account), None, NOW),
        (a_link(an_account("usr_eve")), account, NOW),
        (a_link(account), account, UNTIL),
    ):
        with pytest.raises(domain.LinkRefused):
            domain.check(link, found, now)


def test_a_link_dies_with_the_password_that_it_was_to_replace() -> None:
    account = an_account()
    changed, _ = users.with_reset_password(account, "another hash", True)
    assert changed.email_verified, "whoever has the link has the mailbox"
    with pytest.raises(domain.LinkRefused):
        domain.check(a_link(account), changed, NOW)


def test_a_hash_that_is_made_anew_kills_no_link() -> None:
    account = users.rehashed(an_account(), "stronger")
    assert domain.check(a_link(an_account()), account, NOW) is account
    assert account.view() == an_account().view(), "and readers see no change"


def test_a_registration_that_is_made_anew_kills_the_links_of_the_former() -> None:
    account = an_account()
    anew, _ = users.registered_anew(account, a_registration(), "another hash")
    with pytest.raises(domain.LinkRefused):
        domain.check(a_link(account), anew, NOW)


def a_registration() -> RegisterUser:
    return RegisterUser(email="ada@example.com", name="Ada", password=SecretStr("a horse on a battery"))


def test_a_letter_holds_no_link() -> None:
    letter, _ = mail.write("reset", an_account(), "ltr_1", NOW)
    assert "http" not in letter.model_dump_json()


def test_a_letter_that_nobody_needs_any_more_is_not_sent() -> None:
    account = an_account()
    letter, _ = mail.write("reset", account, "ltr_1", NOW)
    changed, _ = users.with_password(account, "another hash", True, "changed")
    moved = account.model_copy(update={"email": "other@example.com"})
    assert not mail.is_stale(letter, account, NOW)
    assert all(mail.is_stale(letter, found, NOW) for found in (None, changed, moved))
    assert mail.is_stale(letter, account, NOW + timedelta(minutes=30))


def test_a_letter_is_held_by_one_and_after_a_failure_due_later_each_time() -> None:
    letter, _ = mail.write("reset", an_account(), "ltr_1", NOW)
    pauses = []
    for _ in range(4):
        letter = mail.taken(letter, NOW)
        assert letter.due_at == NOW + mail.LEASE
        letter = mail.put_off(letter, NOW)
        pauses.append((letter.due_at - NOW).total_seconds())
    assert pauses == [4, 8, 16, 32]


def test_a_name_with_line_breaks_adds_no_header_to_the_mail() -> None:
    account = an_account().model_copy(update={"name": "Ada\r\nBcc: eve@example.com"})
    letter, _ = mail.write("reset", account, "ltr_1", NOW)
    written = mail.message(letter, account, "portal@example.com", "https://portal.example.com/", "a.b.c")
    assert written["Bcc"] is None
    assert "https://portal.example.com/reset-password#token=a.b.c" in written.get_content()
