"""Traces: set-up for a process, spans, and the trace context as it travels in messages.

Spans go out by OTLP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and to files in `MES_TRACE_DIR` when that
is set, so that a request's tree can be read with no collector running (`libs.telemetry.tree`).
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from opentelemetry import context, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags

from libs.errors import Refusal
from libs.telemetry.files import FileExporter

__all__ = ["SpanKind", "current_trace_id", "current_traceparent", "set_up", "shut_down", "span"]

_tracer = trace.get_tracer("mes")
Attributes = Mapping[str, str | int | float | bool]


def set_up(service: str, process: str | None = None) -> None:
    """Called once by each process, before anything else is built."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.instance.id": process or service})
    )
    if folder := os.environ.get("MES_TRACE_DIR"):
        exporter = FileExporter(Path(folder), process or service)
        provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=300, max_queue_size=16_384)
        )
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _spare_the_collector()


def _spare_the_collector() -> None:
    """What was imported stays for good, and requests leave few cycles: look for garbage less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def shut_down() -> None:
    """Flushes what waits."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


class span:
    """A span around a block. `parent` is a traceparent; without one, the current span is the parent.

    A refusal is an answer, not a fault: it is noted by its code and leaves the status alone. Written as a
    class because spans are on every path: it costs half of what the SDK's context manager does.
    """

    __slots__ = ("_attributes", "_kind", "_name", "_parent", "_span", "_token")

    def __init__(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
        parent: str | None = None,
    ) -> None:
        self._name = name
        self._kind = kind
        self._attributes = attributes
        self._parent = parent

    def __enter__(self) -> Span:
        origin = _context_of(self._parent) if self._parent else None
        self._span = _tracer.start_span(self._name, origin, self._kind, self._attributes)
        self._token = context.attach(trace.set_span_in_context(self._span, origin))
        return self._span

    def __exit__(self, kind: object, error: BaseException | None, where: object) -> None:
        context.detach(self._token)
        if isinstance(error, Refusal):
            self._span.set_attribute("error.type", error.problem().code)
        elif isinstance(error, Exception):
            self._span.record_exception(error)
            self._span.set_status(StatusCode.ERROR, repr(error))
        self._span.end()


def leaf(name: str, kind: SpanKind, attributes: Attributes, parent: str | None) -> Span:
    """A span without children, for the hottest path: it never becomes current. The caller ends it."""
    return _tracer.start_span(name, _context_of(parent) if parent else None, kind, attributes)


def trace_id_of(current: Span) -> str:
    return f"{current.get_span_context().trace_id:032x}"


@contextmanager
def following(traceparent: str | None) -> Iterator[None]:
    """Makes a message's trace context current, without a span of its own."""
    if traceparent is None:
        yield
        return
    token = context.attach(_context_of(traceparent))
    try:
        yield
    finally:
        context.detach(token)


def current_traceparent() -> str | None:
    """The W3C form of the current span, or None outside a trace."""
    current = trace.get_current_span().get_span_context()
    if not current.is_valid:
        return None
    return f"00-{current.trace_id:032x}-{current.span_id:016x}-{int(current.trace_flags):02x}"


def current_trace_id() -> str | None:
    current = trace.get_current_span().get_span_context()
    return f"{current.trace_id:032x}" if current.is_valid else None


def _context_of(traceparent: str) -> context.Context:
    """A malformed traceparent starts a new trace, as the standard asks."""
    try:
        version, trace_id, span_id, flags = traceparent.split("-")
        if len(version) != 2 or len(trace_id) != 32 or len(span_id) != 16:
            raise ValueError(traceparent)
        remote = SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)))
    except ValueError:
        return context.Context()
    return trace.set_span_in_context(NonRecordingSpan(remote), context.Context())
