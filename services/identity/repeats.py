"""Repeated requests whose answer holds a secret: the record lacks it, so their handlers derive it again."""

from __future__ import annotations

from libs.service.request import Request
from libs.store.commit import AlreadyAnswered, RecordedReply


def first_answer(recorded: RecordedReply, request: Request) -> bytes:
    """What is recorded of the first answer. Raises AlreadyAnswered, which the edge explains, if that was a
    refusal or the id belongs to another request."""
    if not recorded.ok or recorded.fingerprint != request.fingerprint:
        raise AlreadyAnswered(recorded)
    request.reached = recorded.reached
    return recorded.body
