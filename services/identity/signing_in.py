"""Wires everything that people sign in with: a part of main, which would be long otherwise."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from libs.service.service import Service
from libs.store.database import Documents
from services.identity.factors.handlers import SecondFactors, get_factors
from services.identity.factors.store import SECOND_FACTORS
from services.identity.keys.handlers import Keys
from services.identity.keys.tokens import TokenMaker
from services.identity.mail.ports import Folder, MailPort, Smtp
from services.identity.mail.postman import Postman
from services.identity.mail.store import LETTERS
from services.identity.oauth.clients import Clients
from services.identity.passkeys.ceremonies import Ceremonies
from services.identity.passkeys.handlers import Passkeys, list_passkeys
from services.identity.passkeys.store import PASSKEYS, SPENT_CHALLENGES
from services.identity.recovery.handlers import Recovery
from services.identity.sessions.freshness import Freshness
from services.identity.sessions.handlers import Sessions, list_sessions
from services.identity.sessions.proof import Prover
from services.identity.sessions.store import SESSIONS
from services.identity.settings import IdentitySettings
from services.identity.throttling.domain import Limit, Limits
from services.identity.throttling.handlers import Throttling
from services.identity.throttling.store import KNOWN_ADDRESSES, TRIES
from services.identity.users.changes import PasswordChanges
from services.identity.users.handlers import Users, get_me
from services.identity.users.passwords import Passwords

SIGN_IN_DOCUMENTS: list[Documents[Any]] = [
    SESSIONS,
    SECOND_FACTORS,
    PASSKEYS,
    SPENT_CHALLENGES,
    LETTERS,
    TRIES,
    KNOWN_ADDRESSES,
]


class SigningIn:
    """`prover`, `passkeys.prove` and `sessions` are what other ways to sign in build on."""

    def __init__(
        self, service: Service, settings: IdentitySettings, tokens: TokenMaker, clients: Clients
    ) -> None:
        passwords = Passwords(settings.argon2_memory_kib, settings.argon2_passes, settings.argon2_lanes)
        throttling = Throttling(limits_of(settings))
        freshness = Freshness(settings.recent_sign_in)
        postman = Postman(
            service.journal, tokens, mail_port(settings), settings.mail_from, settings.public_url
        )
        ceremonies = Ceremonies(tokens, settings.public_url, settings.passkey_domain, settings.portal_name)
        keys = Keys(tokens, settings.key_rotation, settings.key_published_first, service.journal)
        factors = SecondFactors(tokens, throttling, freshness, settings.portal_name)
        recovery = Recovery(passwords, tokens, throttling, postman)
        self.users = Users(passwords, throttling, postman, settings.verify_email)
        self.prover = Prover(passwords, throttling, factors, settings.verify_email)
        self.sessions = Sessions(self.prover, tokens, settings.refresh_token_lifetime, clients)
        self.passkeys = Passkeys(ceremonies, self.sessions, freshness)
        changes = PasswordChanges(passwords, self.prover, postman)
        service.commands(
            self.users.register_user,
            changes.change_password,
            recovery.request_reset,
            recovery.confirm_reset,
            recovery.request_verification,
            recovery.confirm_verification,
            self.sessions.open_session,
            self.sessions.refresh_session,
            self.sessions.end_session,
            self.sessions.end_other_sessions,
            factors.enrol_totp,
            factors.confirm_totp,
            factors.remove_totp,
            factors.replace_recovery_codes,
            self.passkeys.start_passkey_sign_in,
            self.passkeys.open_session_with_passkey,
            self.passkeys.start_passkey,
            self.passkeys.add_passkey,
            self.passkeys.remove_passkey,
            keys.rotate_keys,
        )
        self.queries = (get_me, list_sessions, get_factors, list_passkeys, keys.get_keys)
        service.background += [postman.run, keys.run]


def mail_port(settings: IdentitySettings) -> MailPort | None:
    if settings.mail_folder:
        return Folder(settings.mail_folder)
    if settings.smtp_host:
        return Smtp(
            settings.smtp_host,
            settings.smtp_port,
            settings.smtp_security,
            settings.smtp_user,
            settings.smtp_password,
        )
    return None


def limits_of(settings: IdentitySettings) -> Limits:
    """How many are free, and how long the longest wait is."""
    return Limits(
        pair=Limit(settings.wrong_sign_ins_by_pair, timedelta(minutes=15)),
        known=Limit(settings.wrong_sign_ins_by_pair, timedelta(seconds=30)),
        account=Limit(settings.wrong_sign_ins_by_account, timedelta(minutes=5)),
        address=Limit(settings.wrong_sign_ins_by_address, timedelta(minutes=15)),
        code=Limit(settings.wrong_codes, timedelta(minutes=15)),
        registrations=Limit(settings.registrations_by_address, timedelta(minutes=15)),
        mails=Limit(settings.mails_by_pair, timedelta(hours=1)),
        mails_from=Limit(settings.mails_by_address, timedelta(minutes=15)),
    )
