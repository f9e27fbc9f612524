"""`mes trace`: one request's way through every process, read from the span files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.tree import Tree

from clients.cli.failures import Refused, Usage
from clients.cli.options import Json
from clients.cli.screen import console, emit
from libs.telemetry.tree import Node, spans_of, tree_of

_TRACE = re.compile(r"(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?")


def trace(
    trace_id: Annotated[str, typer.Argument(metavar="ID", help="The Mes-Trace header of an answer.")],
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where the spans are.", show_default=".mes/traces")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one request's way through the portal as a tree."""
    named = _TRACE.fullmatch(trace_id.strip().lower())
    if named is None:
        raise Usage(f"{trace_id} is no trace id.", "32 hexadecimal digits, as in the Mes-Trace header")
    folder = folder or Path(os.environ.get("MES_TRACE_DIR") or ".mes/traces")
    if not folder.is_dir():
        raise Usage(f"There is no folder {folder}.", "--folder, or MES_TRACE_DIR")
    roots = tree_of(spans_of(folder, named[1]))
    if not roots:
        raise Refused(f"No spans of {named[1]} in {folder}.", "Spans are written a moment after the answer.")
    if as_json:
        emit({"trace": named[1], "roots": [as_value(root) for root in roots]})
        return
    tree = Tree(f"[dim]trace[/] {named[1]}", guide_style="dim")
    for root in roots:
        _grow(tree, root)
    # Into a file or a pipe, whole lines.
    console.print(tree, width=None if console.is_terminal else 240)
    if len(roots) > 1:
        console.print(f"[yellow]{len(roots)} pieces: the spans between them are missing[/]")


def as_value(node: Node) -> dict[str, Any]:
    return {
        "service": node.span["service"],
        "process": node.span["process"],
        "name": node.span["name"],
        "kind": node.span["kind"],
        "ms": round(node.milliseconds, 3),
        "error": node.span["error"],
        "attributes": node.span["attributes"],
        "children": [as_value(child) for child in node.children],
    }


def _grow(tree: Tree, node: Node) -> None:
    span = node.span
    label = f"[cyan]{escape(span['service'])}[/]  {escape(span['name'])}  [dim]{node.milliseconds:.1f} ms[/]"
    code = span["error"] or span["attributes"].get("error.type")
    if code:
        label += f"  [red]{escape(str(code))}[/]"
    branch = tree.add(label)
    for child in node.children:
        _grow(branch, child)
