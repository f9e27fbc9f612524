"""What a command line says and how it ends, where no portal is needed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from clients.cli.failures import Usage
from clients.cli.main import main
from clients.cli.publishing import pairs
from clients.cli.watching import arguments

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stored session, no portal in this folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("MES_URL", "MES_ORG", "MES_TRACE_DIR"):
        monkeypatch.delenv(name, raising=False)


def run(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mes", *args])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def spans(folder: Path, *spans: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, span in enumerate(spans):
        whole = {
            "trace": TRACE,
            "process": span["service"],
            "kind": "server",
            "start": number * 1_000_000,
            "end": 10_000_000 - number * 1_000_000,
            "attributes": {},
            "error": None,
            "parent": None,
            **span,
        }
        with (folder / f"{span['service']}.jsonl").open("a") as file:
            file.write(json.dumps(whole) + "\n")


def a_trace(folder: Path) -> None:
    spans(
        folder,
        {"service": "gateway", "span": "a", "name": "POST /v1/orgs"},
        {"service": "identity", "span": "b", "parent": "a", "name": "process create_organization"},
        {"service": "identity", "span": "c", "parent": "b", "name": "journal.commit"},
        {"service": "audit", "span": "d", "parent": "b", "name": "process audit.events"},
    )


def test_a_trace_is_one_tree_across_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_trace(tmp_path / ".mes" / "traces")
    assert run(monkeypatch, "trace", TRACE, "--json") == 0
    (root,) = json.loads(capsys.readouterr().out)["roots"]
    assert (root["service"], root["name"], root["ms"]) == ("gateway", "POST /v1/orgs", 10.0)
    (command,) = root["children"]
    assert [child["service"] for child in command["children"]] == ["identity", "audit"]


def test_a_trace_may_be_named_by_its_traceparent_and_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_trace(tmp_path / "elsewhere")
    monkeypatch.setenv("MES_TRACE_DIR", str(tmp_path / "elsewhere"))
    assert run(monkeypatch, "trace", f"00-{TRACE}-b7ad6b7169203331-01") == 0
    assert "journal.commit" in capsys.readouterr().out


def test_a_trace_that_nobody_wrote_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_trace(tmp_path)
    assert run(monkeypatch, "trace", "f" * 32, "--folder", str(tmp_path)) == 1


@pytest.mark.parametrize("args", [("trace", "xyz"), ("deploy", "orders"), ("dead", "replay"), ("nosuch",)])
def test_what_cannot_be_understood_ends_with_2(
    args: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, *args) == 2


def test_without_a_sign_in_a_command_ends_with_4_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "status", "--url", "http://portal.test") == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert "mes login --url http://portal.test" in said.err


def test_programs_get_failures_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "status", "--json") == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert json.loads(said.err)["exit_code"] == 4


def test_every_command_speaks_json_and_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["login", "logout", "publish", "deploy", "rollback", "status", "watch", "trace", "demo"]
    for command in [[name] for name in names] + [["dead", "list"], ["dead", "replay"]]:
        assert run(monkeypatch, *command, "--help") == 0
        assert "--json" in capsys.readouterr().out, command


def test_arguments_of_a_query_are_text_unless_they_are_marked_as_json() -> None:
    assert arguments(["version=1.0", "limit:=5", "note=a=b"]) == {"version": "1.0", "limit": 5, "note": "a=b"}


@pytest.mark.parametrize("given", ["limit", "=5", ":=5", "limit:=five"])
def test_arguments_of_another_form_are_a_matter_of_usage(given: str) -> None:
    with pytest.raises(Usage):
        arguments([given])


def test_metadata_is_pairs() -> None:
    assert pairs(["commit=abc", "url=http://x?a=b"]) == {"commit": "abc", "url": "http://x?a=b"}
    with pytest.raises(Usage):
        pairs(["commit"])
