"""Ports of the local parts: chosen once, remembered, chosen again only when somebody took them."""

import random
import socket
import threading

from deploy.local.failures import CannotStart
from deploy.local.folder import Folder

# Below the range from which the kernel takes ports for outgoing connections: a part that restarts
# must find its port still free.
LOWEST, HIGHEST = 18_000, 32_000

_lock = threading.Lock()
_given: set[int] = set()  # by this process, perhaps not bound yet: launchers in one test run must not clash


class Ports:
    """Named ports of one data folder."""

    FILE = "ports.json"

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._ports: dict[str, int] = folder.read_json(self.FILE) or {}
        self._taken: set[int] = set()

    def take(self, name: str) -> int:
        """The port of that name: the same as last time if it is still free."""
        with _lock:
            port = self._ports.get(name)
            if port is None or port in _given or not is_free(port):
                port = _choose()
                self._ports[name] = port
                self._folder.write_json(self.FILE, self._ports)
            _given.add(port)
            self._taken.add(port)
            return port

    def release(self) -> None:
        with _lock:
            _given.difference_update(self._taken)
            self._taken.clear()


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # Connections that a previous run closed linger for a minute; they are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _choose() -> int:
    for _ in range(1000):
        port = random.SystemRandom().randint(LOWEST, HIGHEST)
        if port not in _given and is_free(port):
            return port
    raise CannotStart(f"No free port between {LOWEST} and {HIGHEST}.")
