"""The bus described as AsyncAPI 3, made from the contracts themselves. No I/O."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from libs.bus import topology
from libs.contracts import audit, deploy, identity, registry
from libs.contracts.base import Asking, Command, Event, Query, leaves

MODULES = (audit, deploy, identity, registry)


@cache
def document() -> dict[str, Any]:
    """Every command and query with its owner, every event with its routing key. Made once: it takes long
    enough that anybody could hold up everybody by asking for it."""
    messages = [*leaves(Command), *leaves(Query), *leaves(Event)]
    _, schemas = models_json_schema(
        [(message, "validation") for message in messages], ref_template="#/components/schemas/{model}"
    )
    described: dict[str, Any] = {
        message.message: {
            "name": message.message,
            "contentType": "application/json"
            if issubclass(message, Asking)
            else "application/cloudevents+json",
            "summary": (message.__doc__ or "").strip().split("\n")[0] if message.__doc__ else message.message,
            "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
        }
        for message in messages
    }
    channels = {message.message: _channel(message) for message in messages}
    operations = {
        message.message: {
            "action": "receive" if issubclass(message, Asking) else "send",
            "channel": {"$ref": f"#/channels/{message.message}"},
        }
        for message in messages
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "MES Portal bus",
            "version": "1",
            "description": "Commands and queries are answered over direct reply-to; events are CloudEvents.",
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": described, "schemas": schemas.get("$defs", {})},
    }


def _channel(message: type[Any]) -> dict[str, Any]:
    event = issubclass(message, Event)
    return {
        "address": f"{message.message}.{{organization}}" if event else message.message,
        "messages": {message.message: {"$ref": f"#/components/messages/{message.message}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": topology.EVENTS if event else topology.COMMANDS,
                    "type": "topic" if event else "direct",
                    "durable": True,
                },
            }
        },
    }
