"""Waits for facts about children, and gives up early when a child cannot live."""

import time
from collections.abc import Callable

from deploy.local import logs
from deploy.local.failures import CannotStart
from deploy.local.supervisor import Supervisor

PAUSE = 0.05
DEATHS = 3  # so many in one wait, and it will not come up any more


def wait_until(fact: Callable[[], bool], supervisor: Supervisor, name: str, timeout: float) -> None:
    """Return when the fact about that child holds; say what its log says when it does not."""
    deadline = time.monotonic() + timeout
    deaths = supervisor.deaths(name)
    while not fact():
        log = supervisor.log_of(name)
        if supervisor.deaths(name) - deaths >= DEATHS:
            raise CannotStart(
                f"{name} keeps ending. Its last lines:\n{logs.tail(log)}", f"All of them: {log}"
            )
        if time.monotonic() > deadline:
            raise CannotStart(
                f"{name} is not ready after {timeout:.0f} s. Its last lines:\n{logs.tail(log)}",
                f"All of them: {log}",
            )
        time.sleep(PAUSE)
