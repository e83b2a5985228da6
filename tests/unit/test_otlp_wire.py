"""Our OTLP encoder makes the very message that the SDK's makes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import Kept, exchange, shop_trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from rbinder.exporters.otlp_wire import Encoder, Unusual
from rbinder.records import ConnectionInfo, Side
from rbinder.spans import Spans

NAMES = st.text(max_size=200)
VALUES = st.one_of(
    st.text(max_size=300), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats(allow_nan=False),
    st.lists(st.text(max_size=5), max_size=3),
)  # fmt: skip
TIMES = st.integers(0, 2**63)
STATES = st.sampled_from([TraceState(), TraceState([("a", "1"), ("b@c", "2 3")])])
CONTEXTS = st.builds(
    SpanContext, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans(), st.just(TraceFlags(3)), STATES,
)  # fmt: skip
RESOURCES = st.sampled_from(
    [Resource({"service.name": "a", "process.pid": 7}), Resource({}), Resource({"é": "é"}, "http://x")]
)
SCOPES = st.sampled_from(
    [InstrumentationScope("rbinder", "1"), InstrumentationScope("é"), InstrumentationScope("s", "1", "u"), None]
)


@st.composite
def spans(draw: st.DrawFn, values: st.SearchStrategy[Any] = VALUES) -> ReadableSpan:
    status = draw(st.sampled_from([Status(StatusCode.UNSET), Status(StatusCode.ERROR), Status(StatusCode.ERROR, "so")]))
    return ReadableSpan(
        draw(NAMES), draw(CONTEXTS), draw(st.none() | CONTEXTS), draw(RESOURCES),
        draw(st.dictionaries(NAMES, values, max_size=6)),
        draw(st.lists(st.builds(lambda name, time: Event(name, timestamp=time), NAMES, TIMES), max_size=3)),
        (), draw(st.sampled_from(SpanKind)), None, status, draw(TIMES), draw(TIMES), draw(SCOPES),
    )  # fmt: skip


ENCODER = Encoder()  # one for all: what it remembers must not matter


@given(st.lists(spans(), max_size=5))
def test_it_is_the_sdks_message(made: list[ReadableSpan]) -> None:
    assert ENCODER.request(made) == encode_spans(made)


@given(st.lists(spans(st.text(max_size=300) | st.integers(-(2**63), 2**63 - 1)), max_size=5))
def test_it_is_the_sdks_message_for_text_and_numbers(made: list[ReadableSpan]) -> None:
    assert ENCODER.request(made) == encode_spans(made)


def test_numbers_of_several_types_are_not_confused() -> None:
    (span, *_) = shop_trace()
    for value in (1, True, 1.0, False, 0, "1"):
        span._attributes = {"x": value}
        assert ENCODER.request([span]) == encode_spans([span])


def test_attributes_that_spans_share() -> None:
    one, other, *_ = shop_trace()
    other._attributes = one._attributes
    assert ENCODER.request([one, other, one]) == encode_spans([one, other, one])
    other._attributes = dict(one._attributes or {}) | {"x": 1}
    assert ENCODER.request([one, other]) == encode_spans([one, other])


def test_our_own_spans_are_not_left_to_the_sdk() -> None:
    made = shop_trace()
    try:
        assert ENCODER.encode(made)
    except Unusual:
        pytest.fail("they are")
    assert ENCODER.request(made) == encode_spans(made)


def test_text_that_cannot_be_encoded_is_the_sdks_affair() -> None:
    (span, *_) = shop_trace()
    span._attributes = {"x": "\udcff", "y": "z"}
    assert ENCODER.request([span]) == encode_spans([span])


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 500 No\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"])
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("parent", [bytes(8), bytes(range(8))])
@pytest.mark.parametrize("flags", [1, 3])
def test_the_quick_way_to_a_span_is_the_sdks(answer: bytes | None, side: Side, parent: bytes, flags: int) -> None:
    connection = ConnectionInfo(side, "127.0.0.1", 80, "127.0.0.1", 4000, 5, 6, 3, 4)
    error = "" if answer else "timeout"
    made = exchange(
        answer=answer, side=side, connection=connection, error_type=error, parent=parent, flags=flags, state="a=1"
    )
    kept = Kept()
    both = Spans([kept])
    both.emit(made)
    both._unlimited = False
    both.emit(made)
    quick, slow = kept.spans
    assert quick is not slow
    for name in ("name", "context", "parent", "kind", "start_time", "end_time", "resource", "instrumentation_scope"):
        assert getattr(quick, name) == getattr(slow, name), name
    assert dict(quick.attributes or {}) == dict(slow.attributes or {})
    assert [(each.name, each.timestamp) for each in quick.events] == [
        (each.name, each.timestamp) for each in slow.events
    ]
    assert (quick.status.status_code, quick.status.description) == (slow.status.status_code, slow.status.description)
    assert encode_spans([quick]) == encode_spans([slow])
