"""The binder: decides a request's span and what is inserted into it. Pure but for its source of random ids."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from rbinder.binder.context import SpanContext, format_traceparent
from rbinder.binder.edits import Edit
from rbinder.binder.propagation import Inbound, Propagation
from rbinder.binder.rules import Errand, Group, Request, Thread, dropped, finish
from rbinder.binder.sampling import Sampler
from rbinder.http.events import Head

SAMPLED, RANDOM = 0x01, 0x02  # W3C Trace Context level 2, trace-flags
_TRACEPARENT = re.compile(rb"\ntraceparent[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?\n", re.IGNORECASE)


@dataclass(slots=True, eq=False)
class Turn:
    """One request and its response on a connection, as the binder follows it.

    `span` is None for a call whose span the program makes itself: its framing is followed, nothing is recorded.
    """

    span: SpanContext | None
    parent: SpanContext | None
    request: Request | None  # SERVER: itself; CLIENT: the request it is made for
    started: int  # CLOCK_MONOTONIC ns
    edits: list[Edit] = field(default_factory=list)
    called: bool = False  # CLIENT: the head is known to be on its way
    responded: bool = False

    @property
    def recorded(self) -> bool:
        """Whether records are made of it."""
        return self.span is not None and bool(self.span.flags & SAMPLED)


class Binder:
    """Makes SERVER turns of incoming requests and CLIENT turns of outgoing ones."""

    def __init__(self, propagation: Propagation, sampler: Sampler, random_bits: Callable[[int], int]) -> None:
        self._propagation = propagation
        self._sampler = sampler
        self._random_bits = random_bits

    def _identifier(self, size: int) -> bytes:
        """`size` random bytes, not all zero (W3C Trace Context, 2.2.2)."""
        while not (bits := self._random_bits(8 * size)):
            pass
        return bits.to_bytes(size, "big")

    def span(self, parent: SpanContext | None, inbound: Inbound | None = None) -> SpanContext:
        """A new span below `parent`, or a new trace's root; `inbound` for a SERVER span."""
        trace_id = parent.trace_id if parent else self._identifier(16)
        if inbound is not None:
            sampled = SAMPLED if inbound.decide(self._sampler, trace_id) else 0
        else:
            sampled = SAMPLED if self._sampler.decide(parent, trace_id) else 0
        random_flag = parent.flags & RANDOM if parent else RANDOM
        return SpanContext(trace_id, self._identifier(8), sampled | random_flag, parent.trace_state if parent else "")

    def incoming(self, thread: Thread, head: Head, connection: int, started: int) -> Turn:
        """A request's head has been read: rule 1."""
        inbound = self._propagation.extract(head.headers)
        span = self.span(inbound.parent, inbound)
        request = Request(span, inbound, connection, started)
        thread.begin(request)
        return Turn(span, inbound.parent, request, started)

    def outgoing(self, cause: Request | None, group: Group, head: Head, started: int, offset: int = 0) -> Turn:
        """A request's head is about to be written: the call's span, and what to change in the bytes.

        `offset` is that of the buffer which head.insert_at counts from, in the bytes that are about to be written.
        """
        names = {name for name, _ in head.headers} | head.beyond
        if b"traceparent" in names:
            return self._forwarded(cause, group, head, started, offset)
        parent = cause.span if cause else None
        span = self.span(parent)
        lines = self._propagation.lines(
            span, parent.span_id if parent else None, cause.inbound if cause else None, names, head.newline
        )
        edits = [Edit(offset + head.insert_at, lines)] if lines else []
        return Turn(span, parent, cause, started, edits)

    def _forwarded(self, cause: Request | None, group: Group, head: Head, started: int, offset: int) -> Turn:
        """The program sends a traceparent itself: the incoming one verbatim, or one an SDK in it has made."""
        nothing = Turn(None, None, cause, started)
        found = _TRACEPARENT.search(head.raw)
        if found is None or not found[1] or head.truncated:
            return nothing
        candidates = {*group.requests, cause} if cause else group.requests  # a forked process's cause isn't its own
        owners = [request for request in candidates if request.inbound.traceparent == found[1]]
        if len(owners) != 1 or owners[0].inbound.parent is None:
            return nothing
        owner = owners[0]
        span = self.span(owner.span)
        at = offset + head.insert_at - (_blank_line(head.raw) - found.start(1))
        if at < 0:
            return nothing  # its beginning has been sent
        return Turn(span, owner.span, owner, started, [Edit(at + 36, format_traceparent(span)[36:52], 16)])


def _blank_line(raw: bytes) -> int:
    """The offset of the blank line's first byte in a head."""
    if raw.endswith(b"\n\r\n"):
        return len(raw) - 2
    return len(raw) - 1


def errand(peer: object, head: Head) -> Errand:
    """What a call is about: where it goes, its method, its path without a query."""
    return peer, head.method, head.target.partition(b"?")[0]


__all__ = ["Binder", "Errand", "Group", "Inbound", "Request", "Thread", "Turn", "dropped", "errand", "finish"]
