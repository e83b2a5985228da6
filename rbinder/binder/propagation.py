"""Which context a request brings in, and which header lines an outgoing request gets. This file does no I/O."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace

from rbinder.binder.context import (
    SpanContext,
    format_b3_multi,
    format_b3_single,
    format_traceparent,
    parse_b3,
    parse_traceparent,
    parse_tracestate,
    shorten_tracestate,
)
from rbinder.binder.sampling import Sampler

BUDGET = 8192  # bytes inserted into one head, at most
_PASSED_ON = frozenset({b"x-request-id", b"x-ot-span-context"})  # with B3, what Envoy and Istio ask programs to forward

Line = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Inbound:
    """What a request brought: its parent, and the lines that its outgoing requests carry on unchanged.

    `traceparent` is the raw value of a single traceparent header (b"" otherwise), to recognise one that the program
    forwards verbatim. The rest is B3's: a decision without ids (`sampled`), one left to us (`deferred`), `debug`.
    """

    parent: SpanContext | None = None
    forward: tuple[Line, ...] = ()
    traceparent: bytes = b""
    sampled: bool | None = None
    deferred: bool = False
    debug: bool = False

    def decide(self, sampler: Sampler, trace_id: bytes) -> bool:
        """Whether the span this request starts is sampled: the parent's or the peer's word first, as the sampler takes
        it."""
        if self.parent is None and self.sampled is not None and sampler.parent_based:
            return self.sampled
        return sampler.decide(None if self.deferred else self.parent, trace_id)


NOTHING = Inbound()


def _is_b3(name: bytes) -> bool:
    return name == b"b3" or name.startswith(b"x-b3-")


class Propagation:
    """The propagators in use: any of tracecontext, baggage, b3, b3multi. Without one, nothing is read or written."""

    __slots__ = ("_b3_multi", "_b3_single", "_baggage", "_on", "_w3c")

    def __init__(self, propagators: tuple[str, ...]) -> None:
        self._w3c = "tracecontext" in propagators
        self._baggage = "baggage" in propagators
        self._b3_single = "b3" in propagators
        self._b3_multi = "b3multi" in propagators
        self._on = self._w3c or self._baggage or self._b3_single or self._b3_multi

    def extract(self, headers: list[Line]) -> Inbound:
        """What a request with these headers (lower-case names, stripped values) brings."""
        if not self._on:
            return NOTHING
        forward = tuple(line for line in headers if self._passes_on(line[0]) and _clean(line[1]))
        traceparents = [value for name, value in headers if name == b"traceparent"] if self._w3c else []
        if not traceparents:
            return self._extract_b3(headers, forward)
        parent = parse_traceparent(traceparents)
        if parent is not None:
            state = parse_tracestate([value for name, value in headers if name == b"tracestate"])
            parent = replace(parent, trace_state=state) if state else parent
        return Inbound(parent, forward, traceparents[0] if len(traceparents) == 1 else b"")

    def lines(
        self,
        context: SpanContext,
        parent_span_id: bytes | None,
        inbound: Inbound | None,
        present: Set[bytes],
        newline: bytes,
    ) -> bytes:
        """The header lines to insert into a request of the span `context`, each ended by `newline`, b"" for none.

        `present` are the lower-case names the program sends itself: those are never added.
        """
        if not self._on:
            return b""
        own = self._own(context, parent_span_id, inbound, present)
        ours = b"".join(_written(line, newline) for line in own)
        room = BUDGET - len(ours)
        if own and own[0][0] == b"traceparent" and b"tracestate" not in present and context.trace_state:
            state = shorten_tracestate(context.trace_state, room - len(b"tracestate: ") - len(newline))
            if state:
                ours += _written((b"tracestate", state.encode("ascii", "replace")), newline)
                room = BUDGET - len(ours)
        return ours + self._forwarded(inbound, present, newline, room)

    def _passes_on(self, name: bytes) -> bool:
        if name == b"baggage":
            return self._baggage
        if _is_b3(name):
            return not (self._b3_single or self._b3_multi)
        return name in _PASSED_ON

    def _extract_b3(self, headers: list[Line], forward: tuple[Line, ...]) -> Inbound:
        b3 = parse_b3(headers)
        if b3 is None:
            return Inbound(None, forward)
        if b3.parent is None:
            return Inbound(None, forward, sampled=b3.sampled, debug=b3.debug)
        return Inbound(b3.parent, forward, deferred=b3.sampled is None, debug=b3.debug)

    def _own(
        self, context: SpanContext, parent_span_id: bytes | None, inbound: Inbound | None, present: Set[bytes]
    ) -> list[Line]:
        """The lines that carry `context` itself, but tracestate."""
        lines: list[Line] = []
        if self._w3c and b"traceparent" not in present:
            lines.append((b"traceparent", format_traceparent(context)))
        if any(map(_is_b3, present)):
            return lines
        debug = inbound is not None and inbound.debug
        if self._b3_single:
            lines.append((b"b3", format_b3_single(context, parent_span_id, debug)))
        if self._b3_multi:
            lines += format_b3_multi(context, parent_span_id, debug)
        return lines

    def _forwarded(self, inbound: Inbound | None, present: Set[bytes], newline: bytes, room: int) -> bytes:
        if inbound is None or not inbound.forward:
            return b""
        has_b3 = any(map(_is_b3, present))
        lines = [
            (name, _written((name, value), newline))
            for name, value in inbound.forward
            if name not in present and not (has_b3 and _is_b3(name))
        ]
        excess = sum(len(text) for _, text in lines) - room
        for line in sorted(lines, key=lambda line: (line[0] == b"baggage", len(line[1])), reverse=True):
            if excess <= 0:
                break
            lines.remove(line)
            excess -= len(line[1])
        return b"".join(text for _, text in lines)


def _clean(value: bytes) -> bool:
    """No byte that would end the line or the string."""
    return b"\r" not in value and b"\n" not in value and b"\0" not in value


def _written(line: Line, newline: bytes) -> bytes:
    return line[0] + b": " + line[1] + newline
