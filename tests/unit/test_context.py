"""Trace context headers: the cases of W3C Trace Context level 2 and its test suite, and B3."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinder.binder.context import (
    B3,
    SpanContext,
    format_b3_multi,
    format_b3_single,
    format_traceparent,
    parse_b3,
    parse_traceparent,
    parse_tracestate,
    shorten_tracestate,
)

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
PARENT = SpanContext(bytes.fromhex(TRACE), bytes.fromhex(SPAN))
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (GOOD, 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-02", 2),
        (f"00-{TRACE}-{SPAN}-03", 3),
        (f"00-{TRACE}-{SPAN}-ff", 3),
        (f"00-{TRACE}-{SPAN}-fc", 0),
        (f"\t {GOOD} \t", 1),
        (f"cc-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
        (f"01-{TRACE}-{SPAN}-01-", 1),
        (f"fe-{TRACE}-{SPAN}-05", 1),
    ],
)
def test_valid_traceparent(value: str, flags: int) -> None:
    assert parse_traceparent([value.encode()]) == SpanContext(PARENT.trace_id, PARENT.span_id, flags)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-",
        GOOD + ".",
        GOOD + "-",
        GOOD + "-what-the-future-will-be-like",
        f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
        f"cc-{TRACE}-{SPAN}-01,cc-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-0",
        f"ff-{TRACE}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01-x",
        f".0-{TRACE}-{SPAN}-01",
        f"0.-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f"0000-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-.{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE[1:]}.-{SPAN}-01",
        f"00-{TRACE}3-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-.{SPAN[1:]}-01",
        f"00-{TRACE}-{SPAN[1:]}.-01",
        f"00-{TRACE}-{SPAN}7-01",
        f"00-{TRACE}-{SPAN[1:]}-01",
        f"00-{TRACE}-{SPAN}-.0",
        f"00-{TRACE}-{SPAN}-0.",
        f"00-{TRACE}-{SPAN}-001",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{'A' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'B' * 16}-01",
        f"0A-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0A",
        GOOD + "\n",
        GOOD.replace("-", "_"),
    ],
)
def test_invalid_traceparent(value: str) -> None:
    assert parse_traceparent([value.encode()]) is None


def test_exactly_one_traceparent() -> None:
    assert parse_traceparent([]) is None
    assert parse_traceparent([GOOD.encode()] * 2) is None


contexts = st.builds(
    SpanContext,
    st.binary(min_size=16, max_size=16).filter(any),
    st.binary(min_size=8, max_size=8).filter(any),
    st.integers(0, 3),
)


@settings(deadline=None)
@given(contexts)
def test_traceparent_round_trip(context: SpanContext) -> None:
    value = format_traceparent(context)
    assert len(value) == 55
    assert parse_traceparent([value]) == context


ALL_KEY = "".join(map(chr, range(0x61, 0x7B))) + "0123456789_-*/"
ALL_VALUE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")
MEMBERS_32 = [",".join(f"bar{number:02}={number:02}" for number in range(begin, begin + 8)) for begin in (1, 9, 17, 25)]


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ([], ""),
        ([""], ""),
        (["foo=1"], "foo=1"),
        (["foo=1,bar=2"], "foo=1,bar=2"),
        (["foo=1", ""], "foo=1"),
        (["", "foo=1"], "foo=1"),
        (["foo=1,,bar=2, ,"], "foo=1,bar=2"),
        (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        (["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
        (["\t foo=1 \t"], "foo=1"),
        (["foo= 1 2 "], "foo= 1 2"),
        ([f"{ALL_KEY}={ALL_VALUE}"], f"{ALL_KEY}={ALL_VALUE}"),
        ([f"{ALL_KEY}@a-z0-9_-*/={ALL_VALUE}"], f"{ALL_KEY}@a-z0-9_-*/={ALL_VALUE}"),
        (["1a=1", "0@1=2"], "1a=1,0@1=2"),
        (MEMBERS_32, ",".join(MEMBERS_32)),
        (["foo=1", "z" * 256 + "=1"], "foo=1," + "z" * 256 + "=1"),
        (["t" * 241 + "@" + "v" * 14 + "=1"], "t" * 241 + "@" + "v" * 14 + "=1"),
        (["a=" + "v" * 256], "a=" + "v" * 256),
    ],
)
def test_valid_tracestate(values: list[str], state: str) -> None:
    assert parse_tracestate([value.encode() for value in values]) == state


@pytest.mark.parametrize(
    "values",
    [
        ["foo=1,foo=1"],
        ["foo=1,foo=2"],
        ["foo=1", "foo=2"],
        ["foo =1"],
        ["FOO=1"],
        ["foo.bar=1"],
        ["foo@=1,bar=2"],
        ["@foo=1,bar=2"],
        ["foo@@bar=1,bar=2"],
        ["foo@bar@baz=1,bar=2"],
        [*MEMBERS_32, "bar33=33"],
        ["foo=1", "z" * 257 + "=1"],
        ["foo=1", "t" * 242 + "@v=1"],
        ["foo=1", "t@" + "v" * 15 + "=1"],
        ["foo=bar=baz"],
        ["foo=,bar=3"],
        ["foo= ,bar=3"],
        ["foo"],
        ["=1"],
        ["_a=1"],
        ["a=" + "v" * 257],
        ["a=\x7f"],
        ["a=\x1f"],
        ["a=b\tc"],
        ["a=1;b=2\n"],
        ["a=\xe9"],
    ],
)
def test_invalid_tracestate_is_dropped_as_a_whole(values: list[str]) -> None:
    assert parse_tracestate([value.encode() for value in values]) == ""


@pytest.mark.parametrize(
    ("state", "limit", "shortened"),
    [
        ("a=1,b=2", 7, "a=1,b=2"),
        ("a=1,b=2", 6, "a=1"),
        ("a=1,b=2", 2, ""),
        ("a=" + "x" * 127 + ",b=2,c=3", 100, "b=2,c=3"),
        ("a=" + "x" * 126 + ",b=2,c=3", 133, "a=" + "x" * 126 + ",b=2"),
    ],
)
def test_shortened_tracestate(state: str, limit: int, shortened: str) -> None:
    assert shorten_tracestate(state, limit) == shortened


B3_TRACE, B3_SPAN = b"80f198ee56343ba864fe8b2a57d3eff7", b"e457b5a2e4d86bd1"


def b3_parent(flags: int, trace: bytes = B3_TRACE) -> SpanContext:
    return SpanContext(bytes.fromhex(trace.decode()), bytes.fromhex(B3_SPAN.decode()), flags)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"%s-%s-1-05e3ac9a4f6e3b90" % (B3_TRACE, B3_SPAN), B3(b3_parent(1), True)),
        (b"%s-%s-0" % (B3_TRACE, B3_SPAN), B3(b3_parent(0), False)),
        (b"%s-%s-d" % (B3_TRACE, B3_SPAN), B3(b3_parent(1), True, True)),
        (b"%s-%s" % (B3_TRACE, B3_SPAN), B3(b3_parent(0), None)),
        (b"%s-%s-1" % (B3_TRACE[16:], B3_SPAN), B3(b3_parent(1, b"0" * 16 + B3_TRACE[16:]), True)),
        (b" %s-%s-1 " % (B3_TRACE.upper(), B3_SPAN), B3(b3_parent(1), True)),
        (b"0", B3(None, False)),
        (b"1", B3(None, True)),
        (b"d", B3(None, True, True)),
        (b"", None),
        (b"2", None),
        (b"%s-%s-x" % (B3_TRACE, B3_SPAN), None),
        (b"%s-%s-1-" % (B3_TRACE, B3_SPAN), None),
        (b"%s-%s-1" % (B3_TRACE[1:], B3_SPAN), None),
        (b"%s-%s-1" % (b"0" * 32, B3_SPAN), None),
        (b"%s-%s-1" % (B3_TRACE, b"0" * 16), None),
    ],
)
def test_b3_single(value: bytes, expected: B3 | None) -> None:
    assert parse_b3([(b"b3", value)]) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({b"x-b3-sampled": b"1"}, B3(b3_parent(1), True)),
        ({b"x-b3-sampled": b"True", b"x-b3-parentspanid": b"05e3ac9a4f6e3b90"}, B3(b3_parent(1), True)),
        ({b"x-b3-sampled": b"0"}, B3(b3_parent(0), False)),
        ({b"x-b3-flags": b"1"}, B3(b3_parent(1), True, True)),
        ({b"x-b3-flags": b"0"}, B3(b3_parent(0), None)),
        ({}, B3(b3_parent(0), None)),
        ({b"x-b3-spanid": b"x"}, None),
        ({b"x-b3-spanid": b"x", b"x-b3-sampled": b"0"}, B3(None, False)),
        ({b"x-b3-traceid": b"0" * 32, b"x-b3-sampled": b"1"}, None),
        ({b"b3": b"0"}, B3(None, False)),
        ({b"b3": b"broken"}, B3(b3_parent(0), None)),
    ],
)
def test_b3_multi(more: dict[bytes, bytes], expected: B3 | None) -> None:
    headers = {b"x-b3-traceid": B3_TRACE, b"x-b3-spanid": B3_SPAN, **more}
    assert parse_b3(list(headers.items())) == expected


def test_no_b3() -> None:
    assert parse_b3([(b"x-b4", b"1"), (b"host", b"a")]) is None


@settings(deadline=None)
@given(contexts, st.none() | st.binary(min_size=8, max_size=8), st.booleans())
def test_b3_round_trip(context: SpanContext, parent: bytes | None, debug: bool) -> None:
    sampled = debug or context.sampled
    expected = B3(SpanContext(context.trace_id, context.span_id, int(sampled)), sampled, debug)
    assert parse_b3([(b"b3", format_b3_single(context, parent, debug))]) == expected
    assert parse_b3(format_b3_multi(context, parent, debug)) == expected


@settings(deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=3))
def test_any_bytes_are_survived(values: list[bytes]) -> None:
    parent, state = parse_traceparent(values), parse_tracestate(values)
    assert parent is None or (any(parent.trace_id) and any(parent.span_id))
    assert parse_tracestate([state.encode()]) == state
    parse_b3([(b"b3", value) for value in values])
