"""The data folder: private files, and the locks that keep two launchers from sharing one folder."""

import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.local.failures import CannotStart

LEFTOVERS_END_WITHIN = 20.0  # seconds; children of a killed launcher are told to stop by the kernel


class Folder:
    """A folder that one launcher owns at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._launcher: int | None = None
        self._children: int | None = None

    def at(self, name: str) -> Path:
        """A path inside the folder, with its parents made."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def subfolder(self, name: str) -> Path:
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def read_json(self, name: str) -> Any:
        """The stored value, or None when there is none."""
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, json.dumps(value, indent=2) + "\n")

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Replace a file in one step: a reader sees the old text or the new, never half."""
        path = self.at(name)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        draft.replace(path)
        return path

    def lock(self, on_wait: Callable[[], None] = lambda: None) -> int:
        """Own the folder. Returns a descriptor for the children to inherit.

        Two locks: one held by the launcher alone, one by every child as well. After a kill -9 of the
        launcher the first is free at once and the second when the last child has gone, so a new
        launcher never starts a second broker on the same files.
        """
        self._launcher = _open_lock(self.path / "launcher.lock")
        if not _try_lock(self._launcher):
            self.unlock()
            raise CannotStart(
                f"A portal already runs on {self.path}.",
                "Stop it with Ctrl-C in its terminal, or choose another folder: MES_DATA=other make run",
            )
        children = _open_lock(self.path / "children.lock")
        deadline = time.monotonic() + LEFTOVERS_END_WITHIN
        if not _try_lock(children):
            on_wait()
            while not _try_lock(children):
                if time.monotonic() > deadline:
                    os.close(children)
                    self.unlock()
                    raise CannotStart(
                        f"Processes of an earlier run still use {self.path}.",
                        f"See which with: fuser -v {self.path / 'children.lock'}",
                    )
                time.sleep(0.1)
        self._children = children
        return children

    @property
    def is_ours(self) -> bool:
        return self._children is not None

    def unlock(self) -> None:
        for descriptor in (self._children, self._launcher):
            if descriptor is not None:
                os.close(descriptor)
        self._launcher = self._children = None


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
