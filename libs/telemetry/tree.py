"""Reads one request's spans back from the files and lays them out as a tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson


@dataclass
class Node:
    """One span with its children, in order of start. Times are nanoseconds since the epoch."""

    span: dict[str, Any]
    children: list[Node] = field(default_factory=list)

    @property
    def milliseconds(self) -> float:
        return float(self.span["end"] - self.span["start"]) / 1e6


def spans_of(folder: Path, trace_id: str) -> list[dict[str, Any]]:
    """All spans of a trace, whichever process wrote them. Lines cut off by a crash are passed over."""
    found = []
    needle = trace_id.encode()
    for path in sorted([*folder.glob("*.jsonl.1"), *folder.glob("*.jsonl")]):
        with path.open("rb") as lines:
            for line in lines:
                if needle in line:
                    try:
                        span = orjson.loads(line)
                    except orjson.JSONDecodeError:
                        continue
                    if span["trace"] == trace_id:
                        found.append(span)
    return sorted(found, key=lambda span: span["start"])


def tree_of(spans: list[dict[str, Any]]) -> list[Node]:
    """The roots: spans whose parent is not among them. One root means one tree."""
    nodes = {span["span"]: Node(span) for span in spans}
    roots: list[Node] = []
    for node in nodes.values():
        parent = nodes.get(node.span["parent"] or "")
        (parent.children if parent else roots).append(node)
    return roots
