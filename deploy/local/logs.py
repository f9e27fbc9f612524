"""Log files of the children: appended to by them, kept small by the launcher."""

import os
import shutil
from datetime import UTC, datetime
from io import BufferedWriter
from pathlib import Path

LARGEST = 20_000_000  # bytes


def rotate(log: Path) -> None:
    """Begin a new file and keep one old one."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size:
        log.replace(_old(log))


def open_for_child(log: Path) -> BufferedWriter:
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("ab")


def shorten(log: Path) -> None:
    """Move a large file's content to the old one; its writer appends, so it may be emptied meanwhile."""
    if log.exists() and log.stat().st_size > LARGEST:
        shutil.copyfile(log, _old(log))
        os.truncate(log, 0)


def note(log: Path, text: str) -> None:
    """A line of the launcher's own, between those of the child."""
    with log.open("a") as file:
        file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} launcher: {text}\n")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines, for a message about a child that cannot start."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _old(log: Path) -> Path:
    return log.with_name(f"{log.name}.1")
