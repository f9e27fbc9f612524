"""Letters: sent after the commit, once it is possible, whatever dies meanwhile; and registering by mail."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from aiosmtplib import SMTPException
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from deploy.local import LocalParts
from libs.bus.rpc import Asker
from libs.contracts.identity import (
    ConfirmVerification,
    OpenSession,
    RegisterUser,
    RequestReset,
    RequestVerification,
)
from libs.errors import Refused
from services.identity.mail.ports import Folder, Smtp
from tests.services.conftest import Running
from tests.services.identity.conftest import ADMIN, NOBODY, PASSWORD, QUICK, Person, an_email
from tests.services.identity.test_sessions import facts

# Longer than a letter is held by a replica that died with it.
WITHIN_S = 60.0
OTHER = "seven ravens on a wire"


def sent(folder: Path, to: str) -> list[EmailMessage]:
    found = []
    for file in sorted(folder.glob("*.eml"), key=lambda file: file.stat().st_mtime_ns):
        mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        if mail["To"] == to:
            found.append(mail)
    return found


async def arrived(folder: Path, to: str, count: int = 1) -> list[EmailMessage]:
    deadline = time.monotonic() + WITHIN_S
    while len(found := sent(folder, to)) < count:
        assert time.monotonic() < deadline, f"no mail to {to}"
        await asyncio.sleep(0.05)
    return found


def token_in(mail: EmailMessage) -> str:
    found = re.search(r"#token=(\S+)", mail.get_content())
    assert found
    return found[1]


async def test_a_letter_that_could_not_be_sent_survives_a_crash_and_is_sent_once(
    asker: Asker, ada: Person, identity: list[Running]
) -> None:
    post = identity[0].folder / "mail"
    moved = post.with_name("moved")
    post.mkdir(exist_ok=True)
    post.rename(moved)
    # A file where the folder was: nothing can be delivered.
    post.write_text("in the way")
    try:
        await asker.ask(RequestReset(email=ada.user.email), NOBODY)
        for replica in identity:
            replica.kill()
    finally:
        post.unlink()
        moved.rename(post)
    assert not sent(post, ada.user.email)
    for replica in identity:
        replica.begin()
    for replica in identity:
        replica.wait_ready()
    (mail,) = await arrived(post, ada.user.email)
    assert "https://portal.example.com/reset-password#token=" in mail.get_content()
    assert not list(post.glob(".*")), "nothing half written"


async def test_a_link_is_in_no_document_and_no_event(
    asker: Asker, ada: Person, identity: list[Running]
) -> None:

    await asker.ask(RequestReset(email=ada.user.email), NOBODY)
    (mail,) = await arrived(identity[0].folder / "mail", ada.user.email)
    assert token_in(mail) not in b"".join(fact.encode() for fact in await facts(asker)).decode()


# ---- where addresses are verified first ----


@pytest.fixture(scope="module")
async def post(parts: LocalParts, identity: list[Running]) -> AsyncIterator[Path]:
    """The mail of an identity that tells nobody who has an account, in place of the two others."""
    folder = identity[0].folder
    env = {**ADMIN, **QUICK, "MES_MAIL_FOLDER": str(folder / "quiet"), "MES_VERIFY_EMAIL": "true"}
    for replica in identity:
        replica.stop()
    quiet = Running(parts, "identity", folder, env, "identity-quiet").start()
    yield folder / "quiet"
    quiet.stop()
    for replica in identity:
        replica.start()


def registration(address: str, password: str = PASSWORD) -> RegisterUser:
    return RegisterUser(email=address, name="Ada", password=SecretStr(password))


async def signs_in(asker: Asker, address: str, password: str = PASSWORD) -> str:
    try:
        await asker.ask(OpenSession(email=address, password=SecretStr(password)), NOBODY)
    except Refused as refusal:
        return refusal.problem().code
    return "signed in"


async def test_registering_tells_nobody_and_the_mail_makes_the_difference(asker: Asker, post: Path) -> None:
    address = an_email()
    assert (await asker.ask(registration(address), NOBODY)).value is None
    (first,) = await arrived(post, address)
    assert await signs_in(asker, address) == "email_not_verified"
    await asker.ask(ConfirmVerification(token=token_in(first)), NOBODY)
    assert await signs_in(asker, address) == "signed in"

    assert (await asker.ask(registration(address, OTHER), NOBODY)).value is None
    *_, second = await arrived(post, address, 2)
    assert second["Subject"] == "You have an account already"
    assert await signs_in(asker, address) == "signed in"
    assert await signs_in(asker, address, OTHER) == "sign_in_refused"


async def test_who_registers_an_address_that_is_not_theirs_is_replaced_by_the_next(
    asker: Asker, post: Path
) -> None:
    address = an_email()
    await asker.ask(registration(address, OTHER), NOBODY)
    (squatted,) = await arrived(post, address)
    await asker.ask(registration(address), NOBODY)
    *_, genuine = await arrived(post, address, 2)
    with pytest.raises(Refused) as refusal:
        await asker.ask(ConfirmVerification(token=token_in(squatted)), NOBODY)
    assert refusal.value.problem().code == "link_refused"
    await asker.ask(ConfirmVerification(token=token_in(genuine)), NOBODY)
    assert await signs_in(asker, address, OTHER) == "sign_in_refused"
    assert await signs_in(asker, address) == "signed in"


async def test_a_link_to_verify_is_sent_again_on_request_and_to_nobody_unknown(
    asker: Asker, post: Path
) -> None:
    address, unknown = an_email(), an_email()
    await asker.ask(registration(address), NOBODY)
    for one in (unknown, address):
        await asker.ask(RequestVerification(email=one), NOBODY)
    found = await arrived(post, address, 2)
    assert token_in(found[1])
    assert not sent(post, unknown)


# ---- SMTP ----


def a_port() -> int:
    """A free one; the server of these tests wants to know it beforehand."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Mailbox:
    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.encrypted: list[bool] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"


def a_letter(to: str = "ada@example.com") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "portal@example.com", to, "Grüße"
    mail.set_content("Hello Ada\n")
    return mail


def only_we(server: object, session: object, envelope: object, mechanism: str, data: object) -> AuthResult:
    assert isinstance(data, LoginPassword)
    return AuthResult(success=(data.login, data.password) == (b"portal", b"secret"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


async def test_smtp_signs_in_over_tls_and_hands_the_letter_over(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    mailbox = Mailbox()
    port = a_port()
    controller = Controller(
        mailbox,
        "localhost",
        port,
        tls_context=context,
        authenticator=only_we,
        auth_required=True,
        require_starttls=True,
    )
    controller.start()
    try:
        smtp = Smtp("localhost", port, "starttls", "portal", SecretStr("secret"))
        await smtp.send("ltr_1", a_letter())
        with pytest.raises(SMTPException):
            await Smtp("localhost", port, "starttls", "portal", SecretStr("wrong")).send("ltr_2", a_letter())
    finally:
        controller.stop()
    assert mailbox.encrypted == [True]
    assert mailbox.envelopes[0].rcpt_tos == ["ada@example.com"]


async def test_smtp_gives_nothing_to_a_server_that_cannot_encrypt_or_is_another(
    certificate: Path,
) -> None:
    mailbox = Mailbox()
    plain = Controller(mailbox, "localhost", a_port())
    plain.start()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    unknown = Controller(mailbox, "localhost", a_port(), tls_context=context)
    unknown.start()
    try:
        for controller in (plain, unknown):
            with pytest.raises((SMTPException, OSError)):
                await Smtp("localhost", controller.port, "starttls", None, None).send("ltr_1", a_letter())
    finally:
        plain.stop()
        unknown.stop()
    assert not mailbox.envelopes


async def test_a_letter_that_is_sent_again_is_one_file(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "mail")
    for _ in range(2):
        await folder.send("ltr_1", a_letter())
    assert [file.name for file in (tmp_path / "mail").iterdir()] == ["ltr_1.eml"]
