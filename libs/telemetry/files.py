"""Spans as lines of JSON in a folder, one file for each process, for development."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

# Two files of this size are kept for each process: the one being written and the one before.
MAX_BYTES = 32 * 1024 * 1024


class FileExporter(SpanExporter):
    def __init__(self, folder: Path, process: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{process}.jsonl"
        self._file = self._path.open("ab")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._file.tell() > MAX_BYTES:
            self._file.close()
            self._path.replace(self._path.with_suffix(".jsonl.1"))
            self._file = self._path.open("ab")
        self._file.write(b"".join(_line(span) for span in spans))
        self._file.flush()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._file.close()


def _line(span: ReadableSpan) -> bytes:
    own = span.get_span_context()
    record = {
        "trace": f"{own.trace_id:032x}" if own else "",
        "span": f"{own.span_id:016x}" if own else "",
        "parent": f"{span.parent.span_id:016x}" if span.parent else None,
        "service": span.resource.attributes["service.name"],
        "process": span.resource.attributes["service.instance.id"],
        "name": span.name,
        "kind": span.kind.name.lower(),
        "start": span.start_time,
        "end": span.end_time,
        "attributes": dict(span.attributes or {}),
        "error": span.status.description,
    }
    return orjson.dumps(record, default=str) + b"\n"
