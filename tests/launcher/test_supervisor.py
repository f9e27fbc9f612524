"""Children are kept alive, ended in order, and never left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from deploy.local import logs, supervisor
from deploy.local.failures import CannotStart
from deploy.local.supervisor import Program, Supervisor
from deploy.local.waiting import wait_until

STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Supervisor]:
    started = Supervisor(tmp_path)
    yield started
    started.hurry()
    started.stop()


def a_program(
    name: str = "child", script: str = "exec sleep 1000", *, stage: int = 0, grace: float = 5
) -> Program:
    return Program(name, ["sh", "-c", script], dict(os.environ), stage=stage, grace=grace)


def eventually(fact: Callable[[], object], within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not fact():
        assert time.monotonic() < deadline, "did not become true"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        # A zombie is dead: whoever adopted it has only not looked yet.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_up(children: Supervisor, name: str) -> bool:
    return "up" in logs.tail(children.log_of(name))


def pid_of(children: Supervisor, name: str = "child") -> int:
    eventually(lambda: name in children.pids())
    return children.pids()[name]


def test_a_killed_child_comes_back(children: Supervisor) -> None:
    children.start(a_program())
    before = pid_of(children)
    assert children.kill("child") == before
    assert pid_of(children) != before
    assert children.deaths("child") == 1


def test_a_child_that_somebody_else_killed_comes_back(children: Supervisor) -> None:
    children.start(a_program())
    before = pid_of(children)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: children.pids().get("child") not in (before, None))


def test_restarts_back_off(children: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_DELAY", 0.3)
    children.start(a_program(script="exit 3"))
    eventually(lambda: children.deaths("child") >= 3)
    text = children.log_of("child").read_text()
    assert "ended with 3; again in 0.2 s" in text
    assert "again in 0.3 s" in text


def test_a_child_that_cannot_live_is_given_up_with_its_last_words(children: Supervisor) -> None:
    children.start(a_program(script="echo no configuration; exit 1"))
    with pytest.raises(CannotStart, match="no configuration"):
        wait_until(lambda: False, children, "child", timeout=20)


def test_stop_leaves_no_process_behind(children: Supervisor, tmp_path: Path) -> None:
    # The child has a child of its own, which does not end when its parent does.
    children.start(a_program(script=f"sleep 1000 & echo $! > {tmp_path}/grandchild; wait"))
    pid = pid_of(children)
    eventually(lambda: (tmp_path / "grandchild").exists() and (tmp_path / "grandchild").read_text().strip())
    grandchild = int((tmp_path / "grandchild").read_text())
    assert is_alive(grandchild)
    children.stop()
    assert not is_alive(pid)
    eventually(lambda: not is_alive(grandchild))


def test_a_child_that_does_not_listen_is_killed_after_its_grace(children: Supervisor) -> None:
    children.start(a_program(script=STUBBORN, grace=0.3))
    pid = pid_of(children)
    eventually(partial(is_up, children, "child"))
    children.stop()
    assert not is_alive(pid)


def test_children_end_in_reverse_order_of_their_stages(children: Supervisor, tmp_path: Path) -> None:
    order = tmp_path / "order"
    ends = "trap 'sleep 0.1; echo {0} >> {1}; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    for stage, name in enumerate(["database", "service", "gateway"]):
        children.start(a_program(name, ends.format(name, order), stage=stage))
        eventually(partial(is_up, children, name))
    children.stop()
    assert order.read_text().split() == ["gateway", "service", "database"]


def test_an_ended_program_stays_ended(children: Supervisor) -> None:
    children.start(a_program())
    pid = pid_of(children)
    children.end("child")
    assert not is_alive(pid)
    assert children.pids() == {}


def test_a_task_returns_its_exit_code(children: Supervisor) -> None:
    task = Program("task", ["sh", "-c", "exit 7"], dict(os.environ), restart=False)
    assert children.run(task) == 7


def test_a_stale_ready_file_is_gone_before_a_start(children: Supervisor, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.write_text("1")
    children.start(Program("child", ["sleep", "1000"], dict(os.environ), ready_file=ready))
    pid_of(children)
    assert not ready.exists()


def test_logs_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LARGEST", 10)
    log = tmp_path / "child.log"
    with logs.open_for_child(log) as file:
        file.write(b"much more than ten bytes")
        file.flush()
        logs.shorten(log)
        file.write(b"after")
    assert log.read_text() == "after"
    assert (tmp_path / "child.log.1").read_text() == "much more than ten bytes"


@pytest.mark.skipif(not supervisor._FOLLOW_PARENT, reason="needs setpriv, of util-linux")
def test_children_follow_a_launcher_that_is_killed(tmp_path: Path) -> None:
    pids = start_a_launcher(
        tmp_path,
        """
        children.start(Program("child", ["sleep", "1000"], dict(os.environ)))
        while "child" not in children.pids():
            time.sleep(0.02)
        print(children.pids()["child"], flush=True)
        time.sleep(1000)
        """,
    )
    assert is_alive(pids[1])
    os.kill(pids[0], signal.SIGKILL)
    eventually(lambda: not is_alive(pids[1]))


def start_a_launcher(folder: Path, body: str) -> Sequence[int]:
    """A launcher in a process of its own: its pid, and the one that it prints."""
    script = "import os, sys, time\nfrom pathlib import Path\n"
    script += "from deploy.local.supervisor import Program, Supervisor\n"
    script += f"children = Supervisor(Path({str(folder)!r}))\n" + textwrap.dedent(body)
    launcher = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout
    return launcher.pid, int(launcher.stdout.readline())
