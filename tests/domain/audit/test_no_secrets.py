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


@pytest.mark.parametrize("command", leaves(Command), ids=lambda command: command.message)
def test_the_record_of_an_attempt_leaves_secrets_out(command: type[Command[Any]]) -> None:
    fields = {name: field.annotation for name, field in command.model_fields.items()}
    secrets = [name for name in fields if any(word in name for word in SECRET_NAMES)]
    assert all(name in secrets for name, annotation in fields.items() if annotation is SecretStr)
    if secrets:
        # Tokens begin with an identifier that may be recorded; what follows the dot may not.
        values: dict[str, Any] = dict.fromkeys(fields, "plain") | dict.fromkeys(secrets, f"ses_1.{SECRET}")
        assert SECRET not in str(command.model_construct(**values).attempt())
