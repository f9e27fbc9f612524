"""What is asked over AuthZEN 1.0, as it arrives. Unknown fields are ignored, as the standard wants it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictStr, StringConstraints, ValidationError

from libs.errors import BadRequest

MOST_EVALUATIONS = 1_000
MOST_RESULTS = 200
Form = TypeVar("Form", bound="_Asked")
Text = Annotated[StrictStr, StringConstraints(min_length=1, max_length=300)]


class QuestionInvalid(BadRequest):
    """The question is not JSON, or a field that it needs is missing or of another type."""


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Entity(_Asked):
    """A subject or a resource."""

    type: Text
    id: Text
    properties: dict[str, Any] = Field(default_factory=dict)


class EntityType(_Asked):
    """What is searched for: its type, and properties to go by."""

    type: Text
    properties: dict[str, Any] = Field(default_factory=dict)


class Action(_Asked):
    name: Text
    properties: dict[str, Any] = Field(default_factory=dict)


class Evaluation(_Asked):
    subject: Entity
    action: Action
    resource: Entity
    context: dict[str, Any] = Field(default_factory=dict)


class Options(_Asked):
    evaluations_semantic: Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"] = (
        "execute_all"
    )


class Evaluations(_Asked):
    """The fields beside `evaluations` are their defaults; each is checked once it has been put together."""

    evaluations: tuple[dict[str, Any], ...] = Field(default=(), max_length=MOST_EVALUATIONS)
    options: Options = Options()
    subject: Any = None
    action: Any = None
    resource: Any = None
    context: Any = None

    def put_together(self, one: dict[str, Any]) -> dict[str, Any]:
        """An entity of its own replaces the default, which still lends the id or type that it lacks."""
        whole: dict[str, Any] = {}
        for name in ("subject", "action", "resource", "context"):
            default, own = getattr(self, name), one.get(name)
            value = default if own is None else own
            if isinstance(own, dict) and isinstance(default, dict) and name != "context":
                lent = {key: default[key] for key in ("type", "id", "name") if key in default}
                value = {**lent, **own}
            if value is not None:
                whole[name] = value
        return whole


class Page(_Asked):
    token: str = Field(default="", max_length=500)
    limit: int = Field(default=MOST_RESULTS, ge=1)


class SubjectSearch(_Asked):
    subject: EntityType
    action: Action
    resource: Entity
    page: Page = Page()


class ResourceSearch(_Asked):
    subject: Entity
    action: Action
    resource: EntityType
    page: Page = Page()


class ActionSearch(_Asked):
    subject: Entity
    resource: Entity
    page: Page = Page()


def read(form: type[Form], body: Any) -> Form:
    """Raises QuestionInvalid, which names the first field that does not fit."""
    try:
        return form.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise QuestionInvalid(f"{where}: {first['msg']}" if where else str(first["msg"])) from None


def parsed(content_type: str, body: bytes) -> Any:
    if content_type.split(";")[0].strip().lower() != "application/json":
        raise QuestionInvalid("send application/json")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise QuestionInvalid("not JSON") from None
