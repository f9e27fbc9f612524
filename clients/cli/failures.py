"""What can go wrong, as people and programs see it: a sentence, a hint, and an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REFUSED, USAGE, UNREACHABLE, NOT_SIGNED_IN = 1, 2, 3, 4


class Failure(Exception):
    """Ends the command."""

    code = REFUSED

    def __init__(self, message: str, hint: str = "", problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problem = dict(problem or {})

    def as_json(self) -> dict[str, Any]:
        return {"error": {"detail": self.message, **self.problem}, "exit_code": self.code}


class Refused(Failure):
    """The portal said no. `problem` is its answer (RFC 9457)."""

    @classmethod
    def by(cls, problem: Mapping[str, Any], trace: str | None = None) -> Refused:
        title = str(problem.get("title") or problem.get("code") or "Refused")
        detail = str(problem.get("detail") or "")
        message = f"{title}: {detail}" if detail else title
        lines = [f"{error.get('field')}: {error.get('message')}" for error in problem.get("errors") or ()]
        trace = problem.get("trace_id") or trace
        if trace:
            lines.append(f"trace {trace}")
        return cls(message, "\n".join(lines), {**problem, "trace_id": trace})


class Usage(Failure):
    """The command cannot be understood, or what it names on this machine is not there."""

    code = USAGE


class Unreachable(Failure):
    """The portal does not answer, or says that it cannot now."""

    code = UNREACHABLE


class NotSignedIn(Failure):
    code = NOT_SIGNED_IN

    def __init__(self, message: str = "You are not signed in.", hint: str = "mes login") -> None:
        super().__init__(message, hint)
