"""Who may do what on the broker: one user for each process kind, with the least rights that let it work."""

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SERVICES = ("identity", "registry", "deploy", "audit")
GATEWAY = "gateway"
OPERATOR = "operator"  # the launcher's own, and the tests'
USERS = (*SERVICES, GATEWAY, OPERATOR)

NOTHING, EVERYTHING = "^$", ".*"
COMMANDS, EVENTS, RETRY = "mes.commands", "mes.events", "mes.retry"
# The broker's name for the default exchange. Replies go through it, straight to the asking channel.
REPLIES = "amq.default"


@dataclass(frozen=True)
class Rights:
    """Patterns over names of queues and exchanges; the last two over routing keys of `mes.events`."""

    configure: str
    write: str
    read: str
    publish_events: str
    receive_events: str


def rights_of(user: str) -> Rights:
    if user == OPERATOR:
        return Rights(EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING)
    own = rf"{user}\..*"
    if user == GATEWAY:
        # No default exchange: a gateway asks and listens, it never replies. Consuming the pseudo-queue
        # amq.rabbitmq.reply-to needs no right at all.
        return Rights(f"^{own}$", _any(own, COMMANDS), _any(own, EVENTS), NOTHING, EVERYTHING)
    return Rights(
        configure=f"^{own}$",
        write=_any(own, COMMANDS, EVENTS, RETRY, REPLIES),
        read=_any(own, COMMANDS, EVENTS, RETRY),
        publish_events=f"^{own}$",  # a fact is told by its owner only
        receive_events=EVERYTHING,
    )


def definitions(passwords: Mapping[str, str]) -> dict[str, Any]:
    """RabbitMQ's definitions file: loaded at each start, so rights always match this module."""
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": user,
                "password_hash": _hash(passwords[user]),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "administrator" if user == OPERATOR else "",
            }
            for user in USERS
        ],
        "permissions": [
            {
                "user": user,
                "vhost": "/",
                "configure": rights.configure,
                "write": rights.write,
                "read": rights.read,
            }
            for user, rights in _rights()
        ],
        "topic_permissions": [
            {
                "user": user,
                "vhost": "/",
                "exchange": EVENTS,
                "write": rights.publish_events,
                "read": rights.receive_events,
            }
            for user, rights in _rights()
        ],
    }


def _rights() -> list[tuple[str, Rights]]:
    return [(user, rights_of(user)) for user in USERS]


def _any(own: str, *names: str) -> str:
    return f"^({'|'.join([own, *(re.escape(name) for name in names)])})$"


def _hash(password: str) -> str:
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
