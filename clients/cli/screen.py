"""What people see: tables, moments, failures. What programs see: JSON on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clients.cli.failures import Failure

console = Console(highlight=False)
# Progress, hints and failures, so that standard output stays clean for programs.
aside = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Rich markup; not folded, so that it can be copied."""
    console.print(text, soft_wrap=True)


def emit(value: Any) -> None:
    """One line for one value: a stream of them can be read line by line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> Table:
    made = Table(*columns, title=title, title_justify="left", header_style="dim", box=None, pad_edge=False)
    for row in rows:
        made.add_row(*("[dim]–[/]" if cell is None else escape(str(cell)) for cell in row))
    return made


def when(moment: str | None) -> str | None:
    """How long ago, as people say it."""
    if moment is None:
        return None
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "just now"


def show(failure: Failure, for_programs: bool) -> None:
    if for_programs:
        sys.stderr.write(json.dumps(failure.as_json(), ensure_ascii=False) + "\n")
        return
    aside.print(f"[bold red]✗[/] {escape(failure.message)}", soft_wrap=True)
    if failure.hint:
        aside.print(f"  [dim]{escape(failure.hint)}[/]".replace("\n", "\n  "), soft_wrap=True)
