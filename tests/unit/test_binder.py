"""The binder: spans of incoming and outgoing requests, and the bytes to be inserted or replaced."""

from __future__ import annotations

import random

import pytest

from rbinder.binder.binder import Binder, Turn, errand
from rbinder.binder.edits import Edit
from rbinder.binder.propagation import Propagation
from rbinder.binder.rules import Group, Request, Thread
from rbinder.binder.sampling import create
from rbinder.http.scanner import Head, RequestScanner

TRACE, SPAN = b"1234567890abcdef1234567890abcdef", b"1234567890abcdef"
VALUE = b"00-" + TRACE + b"-" + SPAN + b"-01"
LINE = b"traceparent: " + VALUE + b"\r\n"
B3 = b"b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1\r\n"


def make(*propagators: str, sampler: str = "parentbased_always_on") -> Binder:
    return Binder(
        Propagation(propagators or ("tracecontext", "baggage")), create(sampler, None), random.Random(1).getrandbits
    )


def head_of(lines: bytes, before: bytes = b"") -> Head:
    """The head of a request with these lines, in a buffer that begins behind `before`."""
    scanner = RequestScanner()
    wire = b"GET /a?b=c HTTP/1.1\r\n" + lines + b"\r\n"
    scanner.feed(wire[: len(before)])
    (head,) = (event for event in scanner.feed(wire[len(before) :]) if isinstance(event, Head))
    return head


def served(binder: Binder, lines: bytes = LINE) -> tuple[Turn, Thread]:
    thread = Thread(Group())
    return binder.incoming(thread, head_of(lines), 1, 5), thread


def called(binder: Binder, thread: Thread, lines: bytes = b"", before: bytes = b"") -> Turn:
    about = head_of(lines, before)
    return binder.outgoing(thread.cause(errand("peer", about)), thread.group, about, 7)


def test_incoming() -> None:
    turn, thread = served(make())
    assert turn.span is not None
    assert turn.parent is not None
    assert (turn.span.trace_id.hex().encode(), turn.parent.span_id.hex().encode()) == (TRACE, SPAN)
    assert (turn.started, turn.recorded, turn.edits) == (5, True, [])
    assert thread.cause(None) is turn.request


@pytest.mark.parametrize("lines", [b"", b"traceparent: 00-0-0-00\r\n", LINE + LINE])
def test_incoming_without_a_parent(lines: bytes) -> None:
    turn, _ = served(make(), lines)
    assert turn.parent is None
    assert turn.span is not None
    assert any(turn.span.trace_id)
    assert turn.span.flags == 3  # sampled, and its id is random


def test_outgoing() -> None:
    """A child of the request that is served, in a line before the blank line."""
    binder = make()
    turn, thread = served(binder)
    call = called(binder, thread, b"Host: a\r\n")
    assert call.span is not None
    assert turn.span is not None
    assert (call.parent, call.span.trace_id, call.request) == (turn.span, turn.span.trace_id, turn.request)
    line = b"traceparent: 00-%s-%s-01\r\n" % (TRACE, call.span.span_id.hex().encode())
    assert call.edits == [Edit(len(b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n"), line)]


def test_outgoing_of_nobody() -> None:
    call = called(make(), Thread(Group()))
    assert (call.parent, call.request) == (None, None)
    assert len(call.edits) == 1


def test_outgoing_where_nothing_is_propagated() -> None:
    call = called(make("none"), Thread(Group()))
    assert (call.edits, call.recorded) == ([], True)


def test_every_span_is_another() -> None:
    binder = make()
    turn, thread = served(binder)
    spans = [called(binder, thread).span for _ in range(50)] + [turn.span]
    assert len({span.span_id for span in spans if span}) == 51


@pytest.mark.parametrize(
    ("sampler", "lines", "recorded"),
    [
        ("always_off", b"", False),
        ("always_off", LINE, False),
        ("parentbased_always_off", LINE, True),
        ("parentbased_always_on", LINE.replace(b"-01\r", b"-00\r"), False),
        ("always_on", LINE.replace(b"-01\r", b"-00\r"), True),
    ],
)
def test_sampling_goes_on_with_the_call(sampler: str, lines: bytes, recorded: bool) -> None:
    binder = make(sampler=sampler)
    turn, thread = served(binder, lines)
    call = called(binder, thread)
    assert (turn.recorded, call.recorded) == (recorded, recorded)
    flags = int(call.edits[0].insert[-4:-2], 16)
    assert bool(flags & 1) is recorded


# -- a program that sends a traceparent itself


def test_forwarded_verbatim() -> None:
    """Its span id is replaced in place."""
    binder = make()
    turn, thread = served(binder)
    call = called(binder, thread, b"X: y\r\nTraceParent: \t" + VALUE + b" \r\nZ: z\r\n")
    at = len(b"GET /a?b=c HTTP/1.1\r\nX: y\r\nTraceParent: \t" + VALUE[:36])
    assert call.span is not None
    assert call.edits == [Edit(at, call.span.span_id.hex().encode(), 16)]
    assert call.parent is turn.span


def test_forwarded_by_a_loop() -> None:
    """Among several requests the value tells which one it is, whatever the thread knows."""
    binder = make()
    turn, thread = served(binder)
    binder.incoming(thread, head_of(b""), 2, 5)
    call = called(binder, thread, LINE)
    assert (call.request, call.parent) == (turn.request, turn.span)


def test_forwarded_by_a_forked_process() -> None:
    binder = make()
    turn, thread = served(binder)
    child = Thread(Group())
    child.inherit(thread)
    call = called(binder, child, LINE)
    assert (call.request, len(call.edits)) == (turn.request, 1)


ALONE = {
    "another value": LINE.replace(b"-01\r", b"-00\r"),
    "an instrumented program's": LINE.replace(SPAN, b"f" * 16),
    "empty": b"traceparent:\r\n",
    "blank": b"traceparent: \t \r\n",
    "invalid": b"traceparent: x\r\n",
    "folded": b"traceparent:\r\n " + VALUE + b"\r\n",
    "behind 70 kB": b"X: %s\r\n" % (b"v" * 90) * 800 + LINE,
    "before 70 kB": LINE + b"X: %s\r\n" % (b"v" * 90) * 800,
}


@pytest.mark.parametrize("brought", [LINE, B3, b""])
@pytest.mark.parametrize("lines", ALONE.values(), ids=list(ALONE))
def test_left_alone(brought: bytes, lines: bytes) -> None:
    """The program's own line stands, whatever was brought in: no span of ours, nothing is changed."""
    binder = make("tracecontext", "b3")
    _, thread = served(binder, brought)
    call = called(binder, thread, lines)
    assert (call.span, call.edits, call.recorded) == (None, [], False)


def test_forwarded_when_two_requests_brought_it() -> None:
    binder = make()
    _, thread = served(binder)
    binder.incoming(thread, head_of(LINE), 2, 5)
    assert called(binder, thread, LINE).span is None


def test_forwarded_in_an_earlier_call() -> None:
    """What has gone out can't be replaced."""
    binder = make()
    _, thread = served(binder)
    for sent in range(1, len(b"GET /a?b=c HTTP/1.1\r\ntraceparent: 00-" + TRACE + b"-" + SPAN)):
        call = called(binder, thread, LINE, before=b"x" * sent)
        replaced = sent <= len(b"GET /a?b=c HTTP/1.1\r\ntraceparent: ")
        assert bool(call.edits) is replaced
        if replaced:
            assert call.edits[0].at == len(b"GET /a?b=c HTTP/1.1\r\ntraceparent: 00-" + TRACE + b"-") - sent


def test_an_errand_has_no_query() -> None:
    assert errand("peer", head_of(b"")) == ("peer", b"GET", b"/a")


def test_ids_are_never_zero() -> None:
    values = iter([0, 0, 7, 0, 5])
    binder = Binder(Propagation(()), create("always_on", None), lambda bits: next(values))
    span = binder.span(None)
    assert (span.trace_id, span.span_id) == ((7).to_bytes(16, "big"), (5).to_bytes(8, "big"))


def test_a_request_is_open_until_it_is_answered() -> None:
    turn, _ = served(make())
    assert isinstance(turn.request, Request)
    assert turn.request.open
