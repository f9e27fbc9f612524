"""Wires OAuth together: a part of main, which would be long otherwise."""

from __future__ import annotations

from typing import Any

from libs.fetch import Fetcher
from libs.jwks import KeySets
from libs.service.service import Service
from libs.store.database import Documents
from services.identity.keys.tokens import TokenMaker
from services.identity.oauth.browsers import Browsers
from services.identity.oauth.clients import Clients, built_in
from services.identity.oauth.codes.handlers import Codes
from services.identity.oauth.codes.store import CODES
from services.identity.oauth.devices.handlers import Devices
from services.identity.oauth.devices.store import DEVICES
from services.identity.oauth.granting import Granting
from services.identity.oauth.machines.handlers import Machines
from services.identity.oauth.machines.tokens import MachineTokens
from services.identity.oauth.revocation.handlers import Revocation
from services.identity.oauth.revocation.store import REVOKED
from services.identity.oauth.trust.handlers import TrustRules, list_trust_rules, remove_trust_rule
from services.identity.oauth.trust.store import SHOWN, TRUST_RULES
from services.identity.sessions.handlers import Sessions
from services.identity.sessions.proof import Prover
from services.identity.settings import IdentitySettings

OAUTH_DOCUMENTS: list[Documents[Any]] = [CODES, DEVICES, TRUST_RULES, SHOWN, REVOKED]


def clients_of(settings: IdentitySettings) -> Clients:
    return Clients([*built_in(settings.issuer, settings.portal_redirects), *settings.oauth_clients])


class OAuth:
    def __init__(
        self,
        service: Service,
        settings: IdentitySettings,
        tokens: TokenMaker,
        clients: Clients,
        prover: Prover,
        sessions: Sessions,
    ) -> None:
        browsers = Browsers(tokens)
        granting = Granting(sessions, tokens)
        machine_tokens = MachineTokens(tokens)
        keys = KeySets(Fetcher(loopback=settings.allow_loopback_issuers))
        codes = Codes(clients, tokens, prover, sessions, browsers, granting)
        devices = Devices(clients, tokens, browsers, granting)
        rules = TrustRules(machine_tokens, keys, settings.allow_loopback_issuers)
        service.commands(
            codes.authorize,
            codes.sign_in_browser,
            codes.redeem_code,
            devices.start_device,
            devices.decide_device,
            devices.poll_device,
            Machines(machine_tokens).issue_token,
            rules.create_trust_rule,
            rules.exchange_token,
            remove_trust_rule,
            Revocation(clients, tokens).revoke_token,
        )
        self.queries = (
            codes.check_authorization,
            codes.check_browser,
            devices.check_device,
            list_trust_rules,
        )
