"""No event and no record of an attempt carries a secret, whoever defines it."""

import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

import libs.contracts.audit
import libs.contracts.deploy
import libs.contracts.identity
import libs.contracts.registry  # noqa: F401 (imported so that their messages are known)
from libs.contracts.base import Command, Event, leaves

SECRET_NAMES = ("password", "secret", "token", "api_key", "private_key")
SECRET = "correct-horse-battery-staple"


def fields_of(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        yield f"{path}{name}", field.annotation
        for inner in models_in(field.annotation):
            yield from fields_of(inner, f"{path}{name}.")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, tuple, list, dict, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from models_in(part)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


@pytest.mark.parametrize("event", leaves(Event), ids=lambda event: event.message)
def test_an_event_has_no_field_for_a_secret(event: type[Event]) -> None:
    for path, annotation in fields_of(event):
        assert not any(name in path.lower() for name in SECRET_NAMES), path
        assert annotation is not SecretStr, path


def filled(annotation: Any, name: str) -> Any:
    """A value of a type with the secret planted wherever one belongs. Tokens begin with an identifier that
    may be recorded; what follows the dot may not."""
    parts = typing.get_args(annotation)
    if annotation is SecretStr or SecretStr in parts:
        return SecretStr(f"ses_1.{SECRET}")
    for model in models_in(annotation):
        inner = {field: filled(info.annotation, field) for field, info in model.model_fields.items()}
        return model.model_construct(**inner)
    is_text = (annotation is str or str in parts) and not name.endswith(("_type", "_hint"))
    return f"ses_1.{SECRET}" if is_text and any(word in name for word in SECRET_NAMES) else "plain"


def plants(annotation: Any, name: str) -> bool:
    return SECRET in repr(filled(annotation, name)) or "SecretStr" in repr(filled(annotation, name))


@pytest.mark.parametrize("command", leaves(Command), ids=lambda command: command.message)
def test_the_record_of_an_attempt_leaves_secrets_out(command: type[Command[Any]]) -> None:
    fields = {name: field.annotation for name, field in command.model_fields.items()}
    if any(plants(annotation, name) for name, annotation in fields.items()):
        values = {name: filled(annotation, name) for name, annotation in fields.items()}
        assert SECRET not in str(command.model_construct(**values).attempt())


def test_secrets_are_planted_in_commands_that_hold_some() -> None:
    planting = {
        command.message
        for command in leaves(Command)
        if any(plants(field.annotation, name) for name, field in command.model_fields.items())
    }
    assert {"identity.open_session", "identity.exchange_token", "identity.redeem_code"} <= planting
