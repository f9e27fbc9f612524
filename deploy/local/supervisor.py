"""Keeps child processes alive, and leaves none behind.

One thread spawns, watches and stops every child. That is not only simpler to reason about: the kernel's
parent-death signal follows the *thread* that spawned a child, so this thread lives exactly as long as the
children are wanted, whichever thread the launcher itself is used from.
"""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import logs

TICK = 0.05  # seconds between two looks at the children
FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0  # before a restart, doubling
HEALTHY_AFTER = 30.0  # a child that lived so long is restarted without delay next time
LOG_CHECK_EVERY = 10.0

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Program:
    """One child: how to start it and how to end it."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    stage: int = 0  # ends before those of a lower stage
    grace: float = 10.0  # seconds between the request to end and the kill
    restart: bool = True
    own_log: bool = True  # otherwise it writes where the launcher writes
    ready_file: Path | None = None  # removed before each start, so that it never tells of an earlier life
    before: Callable[[], object] | None = None


@dataclass
class _Child:
    program: Program
    due: float | None = 0.0  # when to start it; None while it runs or is no longer wanted
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay: float = FIRST_DELAY
    deaths: int = 0
    exit_code: int | None = None
    kill_at: float = field(default=float("inf"))


class Supervisor:
    """Starts programs, restarts those that die, ends all in reverse order of their stages."""

    def __init__(
        self,
        log_folder: Path,
        inherit: Sequence[int] = (),
        on_change: Callable[[dict[str, int]], None] | None = None,
    ) -> None:
        self._logs = log_folder
        self._inherit = tuple(inherit)
        self._on_change = on_change
        self._children: dict[str, _Child] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._hurry = False
        self._ended = False
        self._next_log_check = 0.0
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, program: Program) -> None:
        """Run it from now on."""
        with self._changed:
            if self._stopping:
                return
            if program.own_log:
                logs.rotate(self.log_of(program.name))
            self._children[program.name] = _Child(program)
            self._changed.notify_all()

    def end(self, name: str) -> None:
        """End one program and forget it."""
        with self._changed:
            child = self._children[name]
            child.due = None
            _ask_to_end(child)
            self._changed.wait_for(lambda: child.process is None)
            self._children.pop(name, None)

    def run(self, program: Program) -> int:
        """Start a program that ends by itself, and wait for its exit code."""
        self.start(program)
        with self._changed:
            child = self._children.get(program.name)
            if child is None:
                return -signal.SIGTERM
            self._changed.wait_for(lambda: child.exit_code is not None or self._ended)
            self._children.pop(program.name, None)
            return -signal.SIGTERM if child.exit_code is None else child.exit_code

    def kill(self, name: str) -> int:
        """SIGKILL a program as a crash would. Returns its old pid once it is known to be gone."""
        with self._changed:
            child = self._children[name]
            self._changed.wait_for(lambda: child.process is not None or self._stopping)
            process = child.process
            if process is None:
                raise ProcessLookupError(name)
            os.kill(process.pid, signal.SIGKILL)
            self._changed.wait_for(lambda: child.process is not process)
            return process.pid

    def pids(self) -> dict[str, int]:
        """Name → pid of what runs now."""
        with self._changed:
            return {name: child.process.pid for name, child in self._children.items() if child.process}

    def deaths(self, name: str) -> int:
        with self._changed:
            return self._children[name].deaths if name in self._children else 0

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def stop(self) -> None:
        """End everything and wait for it."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    def hurry(self) -> None:
        """Do not wait for graceful ends any longer. Safe in a signal handler: it takes no lock."""
        self._hurry = True

    # ---- in the supervisor's own thread ----

    def _run(self) -> None:
        while True:
            with self._changed:
                changed = self._look()
                if self._stopping:
                    break
                if not changed:
                    self._changed.wait(TICK)
            if changed and self._on_change:
                self._on_change(self.pids())
        for stage in sorted({child.program.stage for child in self._children.values()}, reverse=True):
            self._end_stage(stage)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _look(self) -> bool:
        now = time.monotonic()
        changed = False
        for child in list(self._children.values()):
            if child.process and _has_ended(child.process):
                self._bury(child, now)
                changed = True
            elif child.process and now > child.kill_at:
                os.kill(child.process.pid, signal.SIGKILL)
            if child.due is not None and now >= child.due and not self._stopping:
                self._spawn(child, now)
                changed = True
        if changed:
            self._changed.notify_all()
        if now >= self._next_log_check:
            self._next_log_check = now + LOG_CHECK_EVERY
            for name in self._children:
                logs.shorten(self.log_of(name))
        return changed

    def _spawn(self, child: _Child, now: float) -> None:
        program = child.program
        if program.ready_file:
            program.ready_file.unlink(missing_ok=True)
        if program.before:
            program.before()
        log = logs.open_for_child(self.log_of(program.name)) if program.own_log else None
        try:
            child.process = subprocess.Popen(
                [*_FOLLOW_PARENT, *program.argv],
                env=dict(program.env),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT if log else None,
                start_new_session=True,  # Ctrl-C in the terminal reaches the launcher only
                pass_fds=self._inherit,
            )
        except OSError as error:
            logs.note(self.log_of(program.name), f"cannot start {program.argv[0]}: {error}")
            child.deaths += 1
            child.due = self._next_start(child, now)
            return
        finally:
            if log is not None:
                log.close()
        child.started, child.due, child.exit_code = now, None, None

    def _bury(self, child: _Child, now: float) -> None:
        assert child.process is not None
        # Before the exit status is collected, because until then the number cannot be given to others.
        _kill_group(child.process.pid)
        child.exit_code = child.process.wait()
        child.process = None
        if child.program.ready_file:
            child.program.ready_file.unlink(missing_ok=True)
        wanted = child.kill_at == float("inf")  # nobody asked it to end
        child.kill_at = float("inf")
        if not wanted or self._stopping:
            return
        child.deaths += 1
        if child.program.restart:
            if now - child.started > HEALTHY_AFTER:
                child.delay = FIRST_DELAY
            child.due = self._next_start(child, now)
            logs.note(
                self.log_of(child.program.name),
                f"{child.program.name} ended with {child.exit_code}; again in {child.due - now:.1f} s",
            )

    def _next_start(self, child: _Child, now: float) -> float:
        due = now + child.delay
        child.delay = min(child.delay * 2, LONGEST_DELAY)
        return due

    def _end_stage(self, stage: int) -> None:
        children = [child for child in self._children.values() if child.program.stage == stage]
        with self._changed:
            for child in children:
                child.due = None
                _ask_to_end(child)
        while any(child.process for child in children):
            with self._changed:
                if self._hurry:
                    for child in children:
                        child.kill_at = min(child.kill_at, time.monotonic())
                self._look()
            time.sleep(TICK)


def _ask_to_end(child: _Child) -> None:
    if child.process:
        child.kill_at = time.monotonic() + child.program.grace
        # Not Popen.send_signal: it would collect the exit status, which is for _bury to do.
        os.kill(child.process.pid, signal.SIGTERM)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it ended, leaving its exit status (and so its number) where it is."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _follow_parent() -> list[str]:
    # By way of util-linux and not preexec_fn, which may deadlock in a process with threads. It replaces
    # itself by the program, so the pid stays. Where there is none (macOS), a killed launcher leaves children.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


_FOLLOW_PARENT = _follow_parent()
