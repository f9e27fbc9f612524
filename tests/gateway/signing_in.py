"""What tests of signing in share: mail that was sent, an authenticator app, a passkey in software."""

from __future__ import annotations

import asyncio
import email
import email.policy
import hashlib
import json
import re
import secrets
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyotp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.portal import Person

WITHIN_S = 20.0
OTHER_PASSWORD = "seven ravens on a wire"


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def letters(folder: Path, to: str, subject: str) -> list[str]:
    """Bodies of what was sent to somebody, oldest first."""
    found = []
    for file in sorted(folder.glob("*.eml"), key=lambda file: file.stat().st_mtime_ns):
        mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        if mail["To"] == to and subject in mail["Subject"]:
            found.append(str(mail.get_content()))
    return found


async def mailed(folder: Path, to: str, subject: str, count: int = 1) -> str:
    """The newest letter, once there are so many."""
    deadline = time.monotonic() + WITHIN_S
    while len(found := letters(folder, to, subject)) < count:
        assert time.monotonic() < deadline, f"no mail to {to}: {subject}"
        await asyncio.sleep(0.05)
    return found[-1]


def token_in(letter: str) -> str:
    found = re.search(r"#token=(\S+)", letter)
    assert found, letter
    return found[1]


@dataclass
class App:
    """An authenticator app. Each code is of a later step than the last, as one works once."""

    secret: str
    recovery: list[str] = field(default_factory=list)
    _step: int = 0

    def code(self) -> str:
        self._step = max(self._step + 1, int(time.time()) // 30 - 1)
        assert self._step <= int(time.time()) // 30 + 1, "three codes are good at one time, no more"
        return pyotp.TOTP(self.secret).generate_otp(self._step)


async def an_app(person: Person) -> App:
    """Adds an authenticator app to somebody's account."""
    made = (await person.call("POST", "/v1/me/totp", 201)).json()
    app = App(made["secret"])
    confirmed = await person.call("POST", "/v1/me/totp/confirm", 200, json={"code": app.code()})
    app.recovery = confirmed.json()["codes"]
    return app


@dataclass
class Authenticator:
    """A passkey in software, which may also misbehave: another origin, another domain, an older counter."""

    origin: str
    rp_id: str = "localhost"
    count: int = 0
    verified: bool = True
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user: str = ""

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        self.user = options["user"]["id"]
        numbers = self.key.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        # COSE: {1: 2, 3: -7, -1: 1, -2: x, -3: y}
        cose = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20" + x + b"\x22\x58\x20" + y
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cose
        data = self._data(0x40) + attested
        # CBOR: {"fmt": "none", "attStmt": {}, "authData": data}
        attestation = (
            b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59" + struct.pack(">H", len(data)) + data
        )
        return self._credential(
            {
                "clientDataJSON": encoded(self._client("webauthn.create", options["challenge"])),
                "attestationObject": encoded(attestation),
                "transports": ["internal"],
            }
        )

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        data = self._data(0)
        client = self._client("webauthn.get", options["challenge"])
        signed = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._credential(
            {
                "clientDataJSON": encoded(client),
                "authenticatorData": encoded(data),
                "signature": encoded(signed),
                "userHandle": self.user,
            }
        )

    def _client(self, kind: str, challenge: str) -> bytes:
        return json.dumps(
            {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        ).encode()

    def _data(self, flags: int) -> bytes:
        flags |= 0x01 | (0x04 if self.verified else 0)
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + struct.pack(">I", self.count)

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        name = encoded(self.id)
        return {"id": name, "rawId": name, "type": "public-key", "response": response}


async def a_passkey(person: Person, origin: str, name: str = "Laptop") -> Authenticator:
    """Adds a passkey to somebody's account."""
    made = Authenticator(origin)
    options = (await person.call("POST", "/v1/me/passkeys/challenge", 200)).json()["options"]
    body = {"name": name, "credential": made.create(options)}
    await person.call("POST", "/v1/me/passkeys", 201, json=body)
    return made


async def challenge(http: httpx.AsyncClient) -> dict[str, Any]:
    answer = await http.post("/v1/sessions/passkey/challenge")
    assert answer.status_code == 200, answer.text
    options: dict[str, Any] = answer.json()["options"]
    return options
