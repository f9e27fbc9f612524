"""The data folder: private files, remembered ports and passwords, one launcher at a time."""

import os
import socket
import stat
from pathlib import Path

import pytest

from deploy.local import secrets
from deploy.local.failures import CannotStart
from deploy.local.folder import Folder
from deploy.local.ports import HIGHEST, LOWEST, Ports, is_free


def test_a_second_launcher_is_told_that_one_runs(tmp_path: Path) -> None:
    first, second = Folder(tmp_path), Folder(tmp_path)
    first.lock()
    with pytest.raises(CannotStart, match="already runs"):
        second.lock()
    assert not second.is_ours
    first.unlock()
    second.lock()
    second.unlock()


def test_a_launcher_waits_for_the_children_of_a_killed_one(tmp_path: Path) -> None:
    first, second = Folder(tmp_path), Folder(tmp_path)
    child = os.dup(first.lock())  # what a child inherits
    first.unlock()
    second.lock(on_wait=lambda: os.close(child))
    assert second.is_ours
    second.unlock()


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    first = secrets.load(folder, ["registry"], ["registry"])
    again = secrets.load(folder, ["registry", "audit"], ["registry"])
    assert again.broker["registry"] == first.broker["registry"]
    assert again.admin == first.admin
    assert set(again.broker) == {"registry", "audit"}
    assert stat.S_IMODE((tmp_path / secrets.FILE).stat().st_mode) == 0o600


def test_ports_are_remembered(tmp_path: Path) -> None:
    ports = Ports(Folder(tmp_path))
    amqp, mongo = ports.take("amqp"), ports.take("mongo")
    assert amqp != mongo
    assert all(LOWEST <= port <= HIGHEST for port in (amqp, mongo))
    ports.release()
    assert Ports(Folder(tmp_path)).take("amqp") == amqp


def test_a_port_that_somebody_took_is_chosen_again(tmp_path: Path) -> None:
    ports = Ports(Folder(tmp_path))
    before = ports.take("amqp")
    ports.release()
    with socket.create_server(("127.0.0.1", before)):
        assert not is_free(before)
        after = Ports(Folder(tmp_path)).take("amqp")
    assert after != before
    assert Ports(Folder(tmp_path))._ports["amqp"] == after


def test_two_folders_never_share_a_port(tmp_path: Path) -> None:
    one, other = Ports(Folder(tmp_path / "one")), Ports(Folder(tmp_path / "other"))
    port = one.take("amqp")
    Folder(tmp_path / "other").write_json(Ports.FILE, {"amqp": port})  # copied from the first, say
    assert Ports(Folder(tmp_path / "other")).take("amqp") != port
    one.release()
    other.release()
