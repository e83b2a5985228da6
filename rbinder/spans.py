"""Makes an OpenTelemetry span of each exchange, through the SDK's public interface.

The ids and the sampling decision were made by the binder while the program ran; here they are only handed on.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes

from rbinder import __version__
from rbinder.conventions import KNOWN_METHODS, describe
from rbinder.exchanges import Exchange, Process
from rbinder.records import NO_EXCHANGE, ConnectionInfo, Side
from rbinder.resources import Resources

RANDOM_FLAG = 0x02  # W3C Trace Context level 2, section 3.2.2.5.2: the trace id's low 7 bytes are random
PROCESS_LIMIT = 1024  # processes whose tracer is kept ready
CLOCK_STEP = 1_000_000  # ns by which the wall clock must have moved before the offset to it is changed
CLOCK_PERIOD = 10_000_000_000  # ns between looks at the wall clock

_KINDS = {Side.SERVER: SpanKind.SERVER, Side.CLIENT: SpanKind.CLIENT}
_ROOT = Context()


class Clock:
    """CLOCK_MONOTONIC nanoseconds to nanoseconds since the epoch."""

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._offset = wall() - monotonic()
        self._looked = monotonic()

    def epoch(self, moment: int) -> int:
        """The wall clock's time at a monotonic one, by the offset as last seen."""
        return moment + self._offset

    def refresh(self) -> None:
        """Follow a wall clock that was set or slewed; smaller differences are only the measurement's own."""
        now = self._monotonic()
        if now - self._looked < CLOCK_PERIOD:
            return
        self._looked = now
        offset = self._wall() - self._monotonic()
        if abs(offset - self._offset) > CLOCK_STEP:
            self._offset = offset


class _Decided(IdGenerator, Sampler):
    """Answers the SDK's questions about the next span with what the binder decided."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = self.trace_flags = 0
        self.trace_state = TraceState()

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id

    def is_trace_id_random(self) -> bool:
        return bool(self.trace_flags & RANDOM_FLAG)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, self.trace_state)

    def get_description(self) -> str:
        return "DecidedByBinder"


class Spans:
    """Makes spans and hands them to the processors, in the calling thread."""

    def __init__(self, processors: Sequence[SpanProcessor], service_name: str = "", clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._decided = _Decided()
        self._outlet = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
        for processor in processors:
            self._outlet.add_span_processor(processor)
        self._limits = SpanLimits()
        self._resources = Resources(service_name)
        self._tracers: OrderedDict[int, Tracer] = OrderedDict()
        self._methods = known_methods(os.environ.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", ""))

    def emit(self, exchange: Exchange) -> None:
        """Make the exchange's span, which reaches the processors ended."""
        self._clock.refresh()
        description = describe(exchange, self._methods)
        start = self._clock.epoch(exchange.started)
        context = self._decide(exchange)
        span = self._tracer(exchange.process).start_span(
            description.name, context, _KINDS[exchange.side], description.attributes, start_time=start
        )
        if exchange.side is Side.CLIENT and exchange.first_on_connection and exchange.connection is not None:
            for name, moment in connection_events(exchange.connection):
                span.add_event(name, timestamp=self._clock.epoch(moment))
        if description.failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(start + max(0, exchange.ended - exchange.started))

    def _decide(self, exchange: Exchange) -> Context:
        """Tell the SDK's generator and sampler the decided ids; the context holds the parent, if there is one."""
        decided = self._decided
        decided.trace_id = int.from_bytes(exchange.trace_id)
        decided.span_id = int.from_bytes(exchange.span_id)
        decided.trace_flags = exchange.trace_flags
        decided.trace_state = TraceState.from_header([exchange.trace_state]) if exchange.trace_state else TraceState()
        if exchange.parent_id == NO_EXCHANGE:
            return _ROOT
        parent = SpanContext(
            decided.trace_id,
            int.from_bytes(exchange.parent_id),
            exchange.remote_parent,
            TraceFlags(exchange.trace_flags),
            decided.trace_state,
        )
        return set_span_in_context(NonRecordingSpan(parent), _ROOT)

    def _tracer(self, process: Process) -> Tracer:
        tracer = self._tracers.get(process.identity)
        if tracer is None:
            tracer = self._tracers[process.identity] = self._new_tracer(process)
            if len(self._tracers) > PROCESS_LIMIT:
                self._tracers.popitem(last=False)
        else:
            self._tracers.move_to_end(process.identity)
        return tracer

    def _new_tracer(self, process: Process) -> Tracer:
        provider = TracerProvider(
            sampler=self._decided,
            resource=self._resources.of(process),
            shutdown_on_exit=False,
            active_span_processor=self._outlet,
            id_generator=self._decided,
            span_limits=self._limits,
        )
        return provider.get_tracer("rbinder", __version__)


def connection_events(connection: ConnectionInfo) -> list[tuple[str, int]]:
    """Names and monotonic times of what was seen of the connection's making, in order."""
    events = [
        ("domainLookupStart", connection.lookup_start),
        ("domainLookupEnd", connection.lookup_end),
        ("connectStart", connection.connect_start),
        ("connectEnd", connection.connect_end),
    ]
    return [(name, moment) for name, moment in events if moment]


def known_methods(listed: str) -> frozenset[str]:
    """The methods that keep their name: the comma list of the semantic conventions' own variable replaces all."""
    return frozenset(word for item in listed.split(",") if (word := item.strip())) or KNOWN_METHODS
