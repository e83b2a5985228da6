"""Makes an OpenTelemetry span of each exchange, of the SDK's own classes.

The ids and the sampling decision were made by the binder while the program ran; here they are only handed on.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    Event,
    ReadableSpan,
    SpanLimits,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
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
from rbinder.conventions import KNOWN_METHODS, Description, describe
from rbinder.exchanges import Exchange, Process
from rbinder.records import NO_EXCHANGE, ConnectionInfo, Side
from rbinder.resources import Resources

RANDOM_FLAG = 0x02  # W3C Trace Context level 2, section 3.2.2.5.2: the trace id's low 7 bytes are random
DESCRIPTION_LIMIT = 2048  # exchanges whose description is kept
MOMENTS = ("domainLookupStart", "domainLookupEnd", "connectStart", "connectEnd")  # events of a connection, in order
PROCESS_LIMIT = 1024  # processes whose tracer is kept ready
CLOCK_STEP = 1_000_000  # ns by which the wall clock must have moved before the offset to it is changed
CLOCK_PERIOD = 10_000_000_000  # ns between looks at the wall clock

T = TypeVar("T")

_KINDS = {Side.SERVER: SpanKind.SERVER, Side.CLIENT: SpanKind.CLIENT}
_ROOT = Context()
_SCOPE = InstrumentationScope("rbinder", __version__)
_NO_STATE = TraceState()
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_RANDOM = TraceFlags(TraceFlags.SAMPLED | RANDOM_FLAG)
_UNSET, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_MOST_ATTRIBUTES, _MOST_EVENTS = 32, 8  # more than any span of ours has


class Clock:
    """CLOCK_MONOTONIC nanoseconds to nanoseconds since the epoch."""

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._offset = wall() - monotonic()
        self._looked = monotonic()

    def epoch(self, moment: int) -> int:
        """The wall clock's time at a monotonic one (0: what is between the two), by the offset as last seen."""
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
        self._unlimited = _is_unlimited(self._limits)
        self._resources = Resources(service_name)
        self._tracers: OrderedDict[int, Tracer] = OrderedDict()
        self._known: OrderedDict[int, Resource] = OrderedDict()
        self._descriptions: dict[tuple[object, ...], tuple[Description, object, object, object]] = {}
        self._methods = known_methods(os.environ.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", ""))

    @property
    def unlimited(self) -> bool:
        """The SDK's limits take nothing away from a span."""
        return self._unlimited

    def epoch(self) -> int:
        """The wall clock's nanoseconds at CLOCK_MONOTONIC's zero."""
        self._clock.refresh()
        return self._clock.epoch(0)

    def emit(self, exchange: Exchange) -> ReadableSpan | None:
        """Make the exchange's span, which reaches the processors ended; None where only they know it."""
        self._clock.refresh()
        description = self._described(exchange)
        start = self._clock.epoch(exchange.started)
        end = start + max(0, exchange.ended - exchange.started)
        if not self._unlimited:
            self._run(exchange, description, start, end)
            return None
        span = self._made(exchange, description, start, end)
        self._outlet.on_end(span)
        return span

    def _described(self, exchange: Exchange) -> Description:
        """What is asked again and again over the same connection is described once (`messages` remembers heads)."""
        request, response, connection = exchange.request, exchange.response, exchange.connection
        key = (id(request), id(response), id(connection), exchange.side, exchange.error_type)
        found = self._descriptions.get(key)
        if found is None:
            if len(self._descriptions) >= DESCRIPTION_LIMIT:
                self._descriptions.clear()
            description = describe(exchange, self._methods)
            # with what the ids are of, so that they stay theirs
            found = self._descriptions[key] = (description, request, response, connection)
        return found[0]

    def _made(self, exchange: Exchange, description: Description, start: int, end: int) -> ReadableSpan:
        """What the SDK's tracer would make of it; it costs a tenth."""
        trace_id, state = int.from_bytes(exchange.trace_id), _trace_state(exchange.trace_state)
        parent = None
        if exchange.parent_id != NO_EXCHANGE:
            flags = TraceFlags(exchange.trace_flags)
            parent = SpanContext(trace_id, int.from_bytes(exchange.parent_id), exchange.remote_parent, flags, state)
        context = SpanContext(
            trace_id,
            int.from_bytes(exchange.span_id),
            False,
            _RANDOM if exchange.trace_flags & RANDOM_FLAG else _SAMPLED,
            state,
        )
        return ReadableSpan(
            description.name,
            context,
            parent,
            self._resource(exchange.process),
            description.attributes,
            [Event(name, timestamp=moment) for name, moment in self._events(exchange)],
            (),
            _KINDS[exchange.side],
            None,
            _FAILED if description.failed else _UNSET,
            start,
            end,
            _SCOPE,
        )

    def _run(self, exchange: Exchange, description: Description, start: int, end: int) -> None:
        """Through the SDK's tracer, which knows the limits."""
        span = self._tracer(exchange.process).start_span(
            description.name,
            self._decide(exchange),
            _KINDS[exchange.side],
            description.attributes,
            start_time=start,
        )
        for name, moment in self._events(exchange):
            span.add_event(name, timestamp=moment)
        if description.failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def _events(self, exchange: Exchange) -> list[tuple[str, int]]:
        if exchange.side is not Side.CLIENT or not exchange.first_on_connection or exchange.connection is None:
            return []
        return [(name, self._clock.epoch(moment)) for name, moment in connection_events(exchange.connection)]

    def _decide(self, exchange: Exchange) -> Context:
        """Tell the SDK's generator and sampler the decided ids; the context holds the parent, if there is one."""
        decided = self._decided
        decided.trace_id = int.from_bytes(exchange.trace_id)
        decided.span_id = int.from_bytes(exchange.span_id)
        decided.trace_flags = exchange.trace_flags
        decided.trace_state = _trace_state(exchange.trace_state)
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
        return _remembered(self._tracers, process, self._new_tracer)

    def _resource(self, process: Process) -> Resource:
        return _remembered(self._known, process, self._resources.of)

    def _new_tracer(self, process: Process) -> Tracer:
        provider = TracerProvider(
            sampler=self._decided,
            resource=self._resource(process),
            shutdown_on_exit=False,
            active_span_processor=self._outlet,
            id_generator=self._decided,
            span_limits=self._limits,
        )
        return provider.get_tracer("rbinder", __version__)


def _remembered(table: OrderedDict[int, T], process: Process, make: Callable[[Process], T]) -> T:
    found = table.get(process.identity)
    if found is None:
        found = table[process.identity] = make(process)
        if len(table) > PROCESS_LIMIT:
            table.popitem(last=False)
    else:
        table.move_to_end(process.identity)
    return found


def _trace_state(header: str) -> TraceState:
    return TraceState.from_header([header]) if header else _NO_STATE


def _is_unlimited(limits: SpanLimits) -> bool:
    """Whether the SDK would leave spans of ours as they are."""

    def holds(limit: int | None, count: int) -> bool:
        return limit is None or limit >= count

    whole = limits.max_span_attribute_length is None and limits.max_attribute_length is None
    return whole and holds(limits.max_span_attributes, _MOST_ATTRIBUTES) and holds(limits.max_events, _MOST_EVENTS)


def connection_events(connection: ConnectionInfo) -> list[tuple[str, int]]:
    """Names and monotonic times of what was seen of the connection's making, in order."""
    moments = (connection.lookup_start, connection.lookup_end, connection.connect_start, connection.connect_end)
    return [(name, moment) for name, moment in zip(MOMENTS, moments, strict=True) if moment]


def known_methods(listed: str) -> frozenset[str]:
    """The methods that keep their name: the comma list of the semantic conventions' own variable replaces all."""
    return frozenset(word for item in listed.split(",") if (word := item.strip())) or KNOWN_METHODS
