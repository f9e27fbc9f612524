"""Refusals: named errors with a stable code, and their form on the wire (RFC 9457). No I/O."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Problem(BaseModel):
    """Problem details as clients and the bus see them; `code` is stable, `detail` is for people."""

    model_config = ConfigDict(frozen=True)

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str = ""
    trace_id: str | None = None
    # Seconds after which the same request may succeed.
    retry_after: int | None = None
    errors: tuple[dict[str, Any], ...] | None = None


class Refusal(Exception):
    """A request that is answered with a clear no. Subclasses name the reason; the class name is the code."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "refused"
    retry_after: int | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            cls.code = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, detail: str = "", errors: tuple[dict[str, Any], ...] | None = None) -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        self.errors = errors

    def problem(self) -> Problem:
        return Problem(
            title=self.code.replace("_", " ").capitalize(),
            status=self.status,
            code=self.code,
            detail=self.detail,
            retry_after=self.retry_after,
            errors=self.errors,
        )


class Refused(Refusal):
    """A refusal that came back over the bus, kept as it was said."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail, problem.errors)
        self._problem = problem
        self.retry_after = problem.retry_after

    def problem(self) -> Problem:
        return self._problem


# The categories. A named refusal derives from one of them, and so has its HTTP status.
class BadRequest(Refusal):
    status = 400


class Unauthenticated(Refusal):
    status = 401


class Forbidden(Refusal):
    status = 403


class NotFound(Refusal):
    status = 404


class Conflict(Refusal):
    status = 409


class Gone(Refusal):
    status = 410


class PreconditionFailed(Refusal):
    status = 412


class TooLarge(Refusal):
    status = 413


class Invalid(Refusal):
    status = 422


class TooMany(Refusal):
    status = 429
    retry_after = 1


class Unavailable(Refusal):
    status = 503
    retry_after = 1


# Refusals that any room may use.
class MalformedMessage(Invalid):
    """The body does not fit the contract of its message."""


class UnknownQuery(NotFound):
    """No query of that name."""


class OrganizationNotFound(NotFound):
    """No such organization, or none that the caller belongs to."""


class CursorUnknown(BadRequest):
    """The cursor is none that this list gave out."""


class IdempotencyKeyReused(Invalid):
    """The key belongs to another request."""


class WriteContention(Unavailable):
    """Others kept changing the same thing; nothing was done."""


class NotCaughtUp(Unavailable):
    """The version that the caller has seen has not arrived here yet."""


class PermissionMissing(Forbidden):
    """The caller does not hold the permission on this resource."""


class StaleRevision(PreconditionFailed):
    """If-Match named a revision that is no longer the newest."""


class ServiceUnavailable(Unavailable):
    """The owner of this message could not be reached; nothing was done, or it will be answered on retry."""


class InternalError(Refusal):
    """A fault of ours. The trace id leads to it."""

    status = 500


def every_refusal() -> list[type[Refusal]]:
    """All named refusals that are imported, for the generated table of codes."""

    def below(cls: type[Refusal]) -> list[type[Refusal]]:
        return [cls, *(found for sub in cls.__subclasses__() for found in below(sub))]

    categories = {Refusal, Refused, *Refusal.__subclasses__()} - {InternalError}
    return sorted((cls for cls in set(below(Refusal)) if cls not in categories), key=lambda cls: cls.code)
