"""The whole launcher with stand-ins for the services: what it starts, tells, restarts and ends."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local import CannotStart, LocalParts, LocalPortal
from deploy.local.processes import KINDS
from deploy.local.settings import from_environment
from tests.launcher.test_supervisor import is_alive

STUBS = {kind: [sys.executable, "-m", "tests.launcher.stub"] for kind in KINDS}


@pytest.fixture(scope="module")
def portal(parts: LocalParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPortal]:
    with LocalPortal(
        tmp_path_factory.mktemp("portal"),
        replicas={"gateway": 2},
        commands=STUBS,
        env={"MES_PROBE": "yes"},
        amqp_url=parts.amqp_admin_url,
        mongo_url=parts.mongo_admin_url,
    ) as started:
        yield started


def told(portal: LocalPortal) -> dict[str, object]:
    value: dict[str, object] = json.loads((portal.folder.path / "run.json").read_text())
    return value


def environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def test_it_tells_what_runs_where(portal: LocalPortal) -> None:
    assert told(portal) == {
        "url": portal.url,
        "admin": {"email": portal.admin.email, "password": portal.admin.password},
        "gateways": portal.gateways,
        "processes": portal.processes,
    }
    assert set(portal.processes) == {*KINDS, "gateway-2"}
    assert stat.S_IMODE((portal.folder.path / "run.json").stat().st_mode) == 0o600


def test_every_gateway_has_an_address_of_its_own(portal: LocalPortal) -> None:
    names = [httpx.get(f"{url}/readyz").text for url in portal.gateways]
    assert names == ["gateway", "gateway-2"]
    assert httpx.get(f"{portal.url}/readyz").text in names


def test_a_process_gets_what_is_its_own_and_nothing_else(portal: LocalPortal) -> None:
    pids = portal.processes
    gateway, registry, identity = (environment_of(pids[name]) for name in ("gateway", "registry", "identity"))
    assert registry["MES_MONGO_URL"].split("?")[0].endswith("/registry")
    assert registry["MES_PROBE"] == gateway["MES_PROBE"] == "yes"
    assert "MES_MONGO_URL" not in gateway
    assert "MES_ADMIN_PASSWORD" not in registry
    assert identity["MES_ADMIN_PASSWORD"] == portal.admin.password
    assert environment_of(pids["gateway-2"])["MES_PROCESS"] == "gateway-2"


def test_a_killed_process_comes_back_and_is_told(portal: LocalPortal) -> None:
    old = [portal.kill(name) for name in ("gateway", "registry")]
    portal.wait_ready()
    assert not set(old) & set(portal.processes.values())
    assert told(portal)["processes"] == portal.processes


def test_a_taken_port_is_named(portal: LocalPortal, tmp_path: Path) -> None:
    taken = int(portal.url.rsplit(":", 1)[1])
    with pytest.raises(CannotStart, match=f"Port {taken} is taken"):
        LocalPortal(tmp_path, port=taken, commands=STUBS).start()


@pytest.mark.parametrize("value", ["gateway", "gateway=0", "nobody=2"])
def test_a_wrong_setting_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MES_REPLICAS", value)
    with pytest.raises(CannotStart, match="MES_REPLICAS"):
        from_environment()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MES_REPLICAS", "gateway=2, registry=3")
    monkeypatch.setenv("MES_DEMO", "0")
    monkeypatch.setenv("MES_PORT", "9000")
    settings = from_environment()
    assert settings.replicas == {"gateway": 2, "registry": 3}
    assert not settings.demo
    assert settings.port == 9000


def test_a_second_launcher_leaves_the_first_alone(portal: LocalPortal) -> None:
    env = {**os.environ, "MES_DATA": str(portal.folder.path), "MES_PORT": "0"}
    second = subprocess.run(
        [sys.executable, "-m", "deploy.local"],
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert "already runs" in second.stdout
    assert told(portal)["url"] == portal.url


def test_a_signal_in_the_middle_of_a_start_leaves_nothing_behind(tmp_path: Path) -> None:
    env = {**os.environ, "MES_DATA": str(tmp_path), "MES_PORT": "0"}
    launcher = subprocess.Popen(
        [sys.executable, "-u", "-m", "deploy.local"], env=env, stdout=subprocess.PIPE, text=True
    )
    assert launcher.stdout
    assert "mongo" in launcher.stdout.readline()  # the database is there, the broker is on its way
    threads = Path(f"/proc/{launcher.pid}/task").glob("*/children")
    own = {int(pid) for thread in threads for pid in thread.read_text().split()}
    assert own
    launcher.send_signal(signal.SIGINT)
    output, _ = launcher.communicate(timeout=40)
    assert launcher.returncode == 0, output
    assert not any(is_alive(pid) for pid in own)
    assert not (tmp_path / "run.json").exists()
