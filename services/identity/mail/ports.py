"""The ways out for mail: SMTP, or a folder for development."""

from __future__ import annotations

import asyncio
import os
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Literal, Protocol

import aiosmtplib
from pydantic import SecretStr

TIMEOUT_S = 20.0


class MailPort(Protocol):
    async def send(self, name: str, mail: EmailMessage) -> None:
        """Returns once somebody else answers for the letter. Raises OSError or SMTPException."""


class Smtp:
    def __init__(
        self,
        host: str,
        port: int,
        security: Literal["tls", "starttls", "none"],
        user: str | None,
        password: SecretStr | None,
    ) -> None:
        self._host = host
        self._port = port
        self._security = security
        self._user = user
        self._password = password

    async def send(self, name: str, mail: EmailMessage) -> None:
        await aiosmtplib.send(
            mail,
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password.get_secret_value() if self._password else None,
            use_tls=self._security == "tls",
            # Never by chance: a server that stops offering it gets no letter and no password.
            start_tls=self._security == "starttls",
            timeout=TIMEOUT_S,
        )


class Folder:
    """One file for each letter. A letter that is sent again replaces itself."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, name: str, mail: EmailMessage) -> None:
        await asyncio.to_thread(self._write, name, mail.as_bytes(policy=SMTP))

    def _write(self, name: str, content: bytes) -> None:
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = self._path / f".{name}.{os.getpid()}"
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path / f"{name}.eml")
