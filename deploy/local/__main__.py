"""`make run`: the portal in the foreground until Ctrl-C."""

import signal
import sys
import threading
import time
from types import FrameType

from deploy.local import settings
from deploy.local.failures import CannotStart
from deploy.local.portal import LocalPortal
from deploy.local.screen import Screen


class Interrupts:
    """The first Ctrl-C (or SIGTERM, or a closed terminal) stops cleanly, a second one at once."""

    def __init__(self) -> None:
        self.portal: LocalPortal | None = None
        self.stopping = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.stopping:
            self.stopping = True
            raise KeyboardInterrupt
        if self.portal:
            self.portal.hurry()


def main() -> int:
    begun = time.monotonic()
    interrupts = Interrupts()
    screen = Screen()
    try:
        with screen:
            wanted = settings.from_environment()
            portal = interrupts.portal = LocalPortal(
                wanted.data,
                port=wanted.port,
                replicas=wanted.replicas,
                demo=wanted.demo,
                amqp_url=wanted.amqp_url,
                mongo_url=wanted.mongo_url,
                progress=screen,
            )
            try:
                portal.start()
                screen.summary(portal, time.monotonic() - begun)
                threading.Event().wait()
            finally:
                interrupts.stopping = True
                screen.note("stopping")
                portal.stop()
    except CannotStart as failure:
        screen.failure(failure)
        return 1
    except KeyboardInterrupt:
        screen.note("stopped; the data stays")
    return 0


if __name__ == "__main__":
    sys.exit(main())
