"""What is recorded of a turn: the payloads of its records. This file does no I/O."""

from __future__ import annotations

from rbinder.binder.binder import Turn
from rbinder.http.heads import reduce_head
from rbinder.http.scanner import Head
from rbinder.records import HEAD_LIMIT, RequestHead, ResponseHead, Side

_NO_PARENT = bytes(8)


def request_head(turn: Turn, side: Side, head: Head) -> RequestHead | None:
    """The payload for a request's head; None for a turn without a span."""
    span, parent = turn.span, turn.parent
    if span is None:
        return None
    return RequestHead(
        side,
        span.trace_id,
        parent.span_id if parent else _NO_PARENT,
        side is Side.SERVER and parent is not None,
        span.flags,
        turn.started,
        span.trace_state,
        reduce_head(head.raw, HEAD_LIMIT),
    )


def response_head(side: Side, head: Head) -> ResponseHead:
    """The payload for a response's head."""
    return ResponseHead(side, reduce_head(head.raw, HEAD_LIMIT))
