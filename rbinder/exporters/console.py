"""Shows each finished trace on stderr as a tree, a line for each span."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass, field

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from rbinder.conventions import OTHER_METHOD
from rbinder.exporters import Exporter, Surroundings
from rbinder.exporters.stderr import Stderr, visible

QUIET = 0.1  # seconds without a new span after which a trace without open exchanges is shown
TRACE_LIMIT = 1000  # traces waiting; the oldest is shown as it is beyond that
SPAN_LIMIT = 1000  # lines of one trace
TARGET_LENGTH = 80  # characters


@dataclass(frozen=True, slots=True)
class Marks:
    """What lines are drawn with; terminals that know only ASCII get the second set."""

    root: str = "● "
    branch: str = "├─ "
    last: str = "└─ "
    pipe: str = "│  "
    client: str = "→ "
    ellipsis: str = "…"


ASCII = Marks("* ", "|- ", "`- ", "|  ", "> ", "...")


@dataclass(slots=True)
class _Trace:
    touched: float
    spans: list[ReadableSpan] = field(default_factory=list)
    hidden: int = 0


class Console(SpanProcessor):
    """Driven by the collector's loop: no thread of its own. `now` and times are time.monotonic seconds."""

    def __init__(self, surroundings: Surroundings, colour: bool, marks: Marks) -> None:
        self.lost = 0
        self._stderr: Stderr = surroundings.stderr
        self._open_in_trace = surroundings.open_in_trace
        self._colour, self._marks = colour, marks
        self._traces: OrderedDict[int, _Trace] = OrderedDict()
        self._fresh: list[int] = []

    @property
    def processor(self) -> SpanProcessor:
        return self

    @property
    def reason(self) -> str:
        return "stderr didn't take them" if self.lost else ""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing: exchanges become spans when they have ended."""

    def on_end(self, span: ReadableSpan) -> None:
        assert span.context is not None, "the SDK gives every span one"
        key = span.context.trace_id
        trace = self._traces.setdefault(key, _Trace(0.0))
        if len(trace.spans) < SPAN_LIMIT:
            trace.spans.append(span)
        else:
            trace.hidden += 1
        self._fresh.append(key)
        if len(self._traces) > TRACE_LIMIT:
            self._show(next(iter(self._traces)))

    def tick(self, now: float) -> float | None:
        for key in dict.fromkeys(self._fresh):
            if key in self._traces:
                self._traces[key].touched = now
                self._traces.move_to_end(key)
        self._fresh.clear()
        for key, trace in list(self._traces.items()):
            if self._open_in_trace(key.to_bytes(16)):
                continue
            if now < trace.touched + QUIET:
                return trace.touched + QUIET - now
            self._show(key)
        return None

    def kick(self) -> None:
        self._fresh.clear()
        for key in [key for key in self._traces if not self._open_in_trace(key.to_bytes(16))]:
            self._show(key)

    def close(self, deadline: float) -> None:
        """All was shown at the last call."""

    def last_call(self) -> None:
        for key in list(self._traces):
            self._show(key)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        self.kick()
        return True

    def shutdown(self) -> None:
        self.last_call()

    def _show(self, key: int) -> None:
        trace = self._traces.pop(key)
        lines = draw(trace.spans, self._marks, self._colour)
        if trace.hidden:
            lines.append(f"{self._marks.ellipsis} and {trace.hidden} more spans")
        if not self._stderr.write("".join(f"{line}\n" for line in lines)):
            self.lost += len(trace.spans) + trace.hidden


def draw(spans: list[ReadableSpan], marks: Marks, colour: bool) -> list[str]:
    """The lines of a trace: each span below its parent, those whose parent is elsewhere at the margin."""
    children: dict[int, list[ReadableSpan]] = {}
    here = {span.context.span_id for span in spans if span.context}
    for span in sorted(spans, key=lambda each: each.start_time or 0):
        parent = span.parent.span_id if span.parent and span.parent.span_id in here else 0
        children.setdefault(parent, []).append(span)
    lines: list[str] = []
    waiting = [(span, "", marks.root, "  ") for span in reversed(children.pop(0, []))]
    while waiting:
        span, indent, mark, below = waiting.pop()
        lines.append(f"{indent}{mark}{_line(span, marks, colour)}")
        inner = indent + below
        members = children.pop(span.context.span_id, []) if span.context else []
        for at, child in enumerate(reversed(members)):
            branch, deeper = (marks.last, "   ") if at == 0 else (marks.branch, marks.pipe)
            waiting.append((child, inner, branch, deeper))
    return lines


def _line(span: ReadableSpan, marks: Marks, colour: bool) -> str:
    attributes = span.attributes or {}
    method = str(attributes.get("http.request.method_original") or attributes.get("http.request.method", ""))
    method = "?" if method == OTHER_METHOD else method  # a connection that failed before anything was asked
    arrow = marks.client if span.kind is SpanKind.CLIENT else ""
    status = str(attributes.get("http.response.status_code", "")) or "-"
    error = str(attributes.get("error.type", ""))
    outcome = status if not error or error == status else f"{status} {error}"
    service = visible(str(span.resource.attributes.get(SERVICE_NAME, "")))
    failed = span.status.status_code is StatusCode.ERROR
    paint = _paint if colour else _plain
    took = _duration((span.end_time or 0) - (span.start_time or 0))
    what = f"{arrow}{paint(visible(method), '1')} {visible(_target(span, marks))}"
    return f"{what} {paint(visible(outcome), '31' if failed else '32')} {took} {paint(service, '36')}"


def _target(span: ReadableSpan, marks: Marks) -> str:
    """The path, for a client behind the host asked for."""
    attributes = span.attributes or {}
    if span.kind is SpanKind.CLIENT:
        target = str(attributes.get("url.full", "")).removeprefix("http://")
    else:
        query = str(attributes.get("url.query", ""))
        target = str(attributes.get("url.path", "")) + (f"?{query}" if query else "")
    return target if len(target) <= TARGET_LENGTH else target[:TARGET_LENGTH] + marks.ellipsis


def _duration(nanoseconds: int) -> str:
    milliseconds = nanoseconds / 1e6
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds:.1f} ms"


def _paint(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m"  # ECMA-48 SGR


def _plain(text: str, code: str) -> str:
    return text


def create(surroundings: Surroundings) -> Exporter:
    stderr = surroundings.stderr
    colour = stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Console(surroundings, colour, Marks() if "utf" in stderr.encoding.lower() else ASCII)
