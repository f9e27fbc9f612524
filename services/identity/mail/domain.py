"""Letters that wait to be sent, and what stands in them. No I/O.

A letter holds no link: its token is derived when it is sent, from what the account is by then.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from typing import Literal, NamedTuple

from libs.contracts.base import Event, Moment, Resource
from libs.contracts.identity import LetterQueued
from services.identity.users.domain import Account

Kind = Literal["verify", "reset", "account_exists", "password_changed"]

LINK_FOR = {"verify": timedelta(hours=24), "reset": timedelta(minutes=30)}
# While one replica sends, no other does: longer than sending may take.
LEASE = timedelta(seconds=25)
SHORTEST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=1)


class Letter(Resource):
    id: str
    kind: Kind
    user: str
    to: str
    # The account's state that a link belongs to.
    credentials: int
    written_at: Moment
    due_at: Moment
    tries: int = 0


class Text(NamedTuple):
    subject: str
    body: str


TEXTS: dict[Kind, Text] = {
    "verify": Text(
        "Verify your e-mail address",
        "Hello {name},\n\nfollow this link to show that this address is yours:\n\n{link}\n\n"
        "It is good for a day. If you did not register, ignore this mail: nothing happens.\n",
    ),
    "reset": Text(
        "Choose a new password",
        "Hello {name},\n\nsomebody, probably you, asked for a new password. Choose it here:\n\n{link}\n\n"
        "The link is good for half an hour, once. If it was not you, ignore this mail: nothing changes.\n",
    ),
    "account_exists": Text(
        "You have an account already",
        "Hello {name},\n\nsomebody, probably you, tried to register with this address. It has an account.\n"
        "Sign in, or ask for a new password if you have forgotten it:\n\n{link}\n",
    ),
    "password_changed": Text(
        "Your password was changed",
        "Hello {name},\n\nthe password of your account was changed, and its other sessions were ended.\n"
        "If it was not you, ask for a new password at once:\n\n{link}\n",
    ),
}
PAGES: dict[Kind, str] = {
    "verify": "/verify-email",
    "reset": "/reset-password",
    "account_exists": "/sign-in",
    "password_changed": "/sign-in",
}


def write(kind: Kind, account: Account | None, name: str, now: datetime) -> tuple[Letter, list[Event]]:
    """A letter to nobody is thrown away by whoever would send it."""
    user = account.id if account else ""
    letter = Letter(
        id=name,
        kind=kind,
        user=user,
        to=account.email if account else "",
        credentials=account.credentials if account else 0,
        written_at=now,
        due_at=now,
        revision=1,
    )
    return letter, [LetterQueued(user=user, kind=kind)]


def taken(letter: Letter, now: datetime) -> Letter:
    """Held by one replica; due again if that does not come back."""
    fields = {"due_at": now + LEASE, "tries": letter.tries + 1, "revision": letter.revision + 1}
    return letter.model_copy(update=fields)


def put_off(letter: Letter, now: datetime) -> Letter:
    """After a try that failed; each one waits twice as long."""
    pause = min(SHORTEST_PAUSE * 2 ** min(letter.tries, 20), LONGEST_PAUSE)
    return letter.model_copy(update={"due_at": now + pause, "revision": letter.revision + 1})


def is_stale(letter: Letter, account: Account | None, now: datetime) -> bool:
    """True where nobody is to get it any more: the account has moved on, or it is too late."""
    if account is None or account.email != letter.to or now > letter.written_at + GIVE_UP_AFTER:
        return True
    if letter.kind not in LINK_FOR:
        return False
    return account.credentials != letter.credentials or now >= link_until(letter)


def link_until(letter: Letter) -> datetime:
    return letter.written_at + LINK_FOR[letter.kind]


def message(
    letter: Letter, account: Account, sender: str, public_url: str, token: str | None
) -> EmailMessage:
    """The token goes behind `#`, so that browsers tell it to no server and in no Referer."""
    link = public_url.rstrip("/") + PAGES[letter.kind] + (f"#token={token}" if token else "")
    text = TEXTS[letter.kind]
    mail = EmailMessage()
    mail["From"] = formataddr(("MES Portal", sender))
    mail["To"] = letter.to
    mail["Subject"] = text.subject
    mail["Date"] = format_datetime(letter.written_at)
    # The same at every try, so that a mailbox can tell a letter that comes twice.
    mail["Message-ID"] = f"<{letter.id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text.body.format(name=" ".join(account.name.split()), link=link), cte="8bit")
    return mail
