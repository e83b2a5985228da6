"""What a request brings in, and which lines an outgoing one gets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinder.binder.context import SpanContext
from rbinder.binder.propagation import BUDGET, Inbound, Propagation
from rbinder.binder.sampling import create

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
TRACEPARENT = (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())
PARENT = SpanContext(bytes.fromhex(TRACE), bytes.fromhex(SPAN), 1)
OURS = SpanContext(bytes.fromhex(TRACE), b"\xaa" * 8, 1)
OUR_LINE = f"traceparent: 00-{TRACE}-{'aa' * 8}-01\r\n".encode()
B3 = (b"b3", b"80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1")
DEFAULT = Propagation(("tracecontext", "baggage"))
EVERYTHING = Propagation(("tracecontext", "baggage", "b3", "b3multi"))


def lines(propagation: Propagation, inbound: Inbound | None = None, present: set[bytes] | None = None) -> list[bytes]:
    text = propagation.lines(OURS, PARENT.span_id, inbound, present or set(), b"\r\n")
    return text.split(b"\r\n")[:-1]


def test_nothing_brought() -> None:
    assert DEFAULT.extract([(b"host", b"a")]) == Inbound()
    assert DEFAULT.lines(OURS, None, None, set(), b"\r\n") == OUR_LINE
    assert DEFAULT.lines(OURS, None, Inbound(), {b"host"}, b"\n") == OUR_LINE.replace(b"\r", b"")


def test_parent_with_its_state() -> None:
    inbound = DEFAULT.extract([(b"tracestate", b"a=1"), TRACEPARENT, (b"tracestate", b"b=2")])
    assert inbound.parent == SpanContext(PARENT.trace_id, PARENT.span_id, 1, "a=1,b=2")
    assert inbound.traceparent == TRACEPARENT[1]


def test_an_invalid_state_leaves_the_parent() -> None:
    assert DEFAULT.extract([TRACEPARENT, (b"tracestate", b"a=1,a=2")]).parent == PARENT


@pytest.mark.parametrize("parents", [[], [b"nonsense"], [TRACEPARENT[1]] * 2])
def test_no_state_without_a_valid_parent(parents: list[bytes]) -> None:
    inbound = DEFAULT.extract([*((b"traceparent", value) for value in parents), (b"tracestate", b"a=1")])
    assert inbound.parent is None


def test_b3_is_a_parent_only_without_any_traceparent() -> None:
    inbound = DEFAULT.extract([B3])
    assert inbound.parent is not None
    assert inbound.parent.span_id.hex() == "e457b5a2e4d86bd1"
    assert DEFAULT.extract([B3, (b"traceparent", b"nonsense")]).parent is None
    assert DEFAULT.extract([B3, TRACEPARENT]).parent == PARENT
    assert Propagation(("b3",)).extract([TRACEPARENT, B3]).parent == inbound.parent


def test_none() -> None:
    nothing = Propagation(("none",))
    assert nothing.extract([TRACEPARENT, B3, (b"baggage", b"a=1"), (b"x-request-id", b"7")]) == Inbound()
    assert nothing.lines(OURS, None, Inbound(None, ((b"x-request-id", b"7"),)), set(), b"\r\n") == b""


FORWARDED = [
    (b"baggage", b"a=1"),
    (b"baggage", b"b=2;p=3"),
    B3,
    (b"x-b3-traceid", b"1"),
    (b"x-request-id", b"7"),
    (b"x-ot-span-context", b"o"),
]


def test_forwarded_lines_in_their_order() -> None:
    inbound = DEFAULT.extract([*FORWARDED, (b"cookie", b"c"), (b"host", b"a"), (b"x-b4", b"")])
    assert inbound.forward == tuple(FORWARDED)
    assert lines(DEFAULT, inbound) == [OUR_LINE[:-2], *(key + b": " + value for key, value in FORWARDED)]


def test_baggage_only_with_its_propagator() -> None:
    inbound = Propagation(("tracecontext",)).extract(FORWARDED)
    assert b"baggage" not in dict(inbound.forward)


def test_own_b3_replaces_the_incoming_one() -> None:
    inbound = EVERYTHING.extract(FORWARDED)
    assert set(dict(inbound.forward)) == {b"baggage", b"x-request-id", b"x-ot-span-context"}
    assert lines(EVERYTHING, inbound)[:6] == [
        OUR_LINE[:-2],
        f"b3: {TRACE}-{'aa' * 8}-1-{SPAN}".encode(),
        f"x-b3-traceid: {TRACE}".encode(),
        b"x-b3-spanid: " + b"aa" * 8,
        b"x-b3-sampled: 1",
        f"x-b3-parentspanid: {SPAN}".encode(),
    ]


def test_debug_is_passed_on() -> None:
    inbound = EVERYTHING.extract([(b"b3", B3[1][:-1] + b"d")])
    written = lines(EVERYTHING, inbound)
    assert f"b3: {TRACE}-{'aa' * 8}-d-{SPAN}".encode() in written
    assert b"x-b3-flags: 1" in written


def test_tracestate_goes_with_our_traceparent() -> None:
    context = SpanContext(OURS.trace_id, OURS.span_id, 1, "a=1,b=2")

    def written(propagation: Propagation, present: set[bytes]) -> bytes:
        return propagation.lines(context, None, None, present, b"\r\n")

    assert written(DEFAULT, set()) == OUR_LINE + b"tracestate: a=1,b=2\r\n"
    assert written(DEFAULT, {b"tracestate"}) == OUR_LINE
    assert written(DEFAULT, {b"traceparent"}) == b""
    assert b"tracestate" not in written(Propagation(("b3",)), set())


def test_nothing_the_program_sends_itself_is_added() -> None:
    inbound = DEFAULT.extract(FORWARDED)
    names = {key for key, _ in FORWARDED}
    for name in names - {b"b3", b"x-b3-traceid"}:
        assert name not in b"\n".join(lines(DEFAULT, inbound, {name}))
    assert lines(DEFAULT, inbound, names | {b"traceparent"}) == []


@pytest.mark.parametrize("name", [b"b3", b"x-b3-traceid", b"x-b3-flags"])
def test_b3_headers_are_never_mixed(name: bytes) -> None:
    for propagation in (DEFAULT, EVERYTHING):
        written = lines(propagation, propagation.extract(FORWARDED), {name})
        assert not any(line.startswith((b"b3", b"x-b3")) for line in written)


@pytest.mark.parametrize("bad", [b"a\r\nEvil: 1", b"a\rb", b"a\nb", b"a\0b"])
def test_values_that_would_break_the_head_are_not_copied(bad: bytes) -> None:
    assert DEFAULT.extract([(b"baggage", bad), (b"x-request-id", bad)]).forward == ()


def test_larger_baggage_is_dropped_first() -> None:
    small, large, identity = (b"baggage", b"s" * 3000), (b"baggage", b"l" * 4000), (b"x-request-id", b"r" * 4500)
    inbound = DEFAULT.extract([large, identity, small])
    assert lines(DEFAULT, inbound)[1:] == [b": ".join(identity), b": ".join(small)]
    assert lines(DEFAULT, DEFAULT.extract([(b"x-request-id", b"r" * 9000), small]))[1:] == []


def test_a_large_state_is_shortened() -> None:
    state = ",".join(f"key{number}=" + "v" * 120 for number in range(32)) + ",large=" + "v" * 256
    context = SpanContext(OURS.trace_id, OURS.span_id, 1, state)
    text = DEFAULT.lines(context, None, None, set(), b"\r\n")
    assert len(text) <= BUDGET
    assert b"key31" in text
    huge = SpanContext(OURS.trace_id, OURS.span_id, 1, ",".join(f"k{number}={'v' * 256}" for number in range(32)))
    assert DEFAULT.lines(huge, None, None, set(), b"\r\n") == OUR_LINE


headers = st.lists(
    st.tuples(
        st.sampled_from([b"traceparent", b"tracestate", b"baggage", b"b3", b"x-b3-traceid", b"x-request-id", b"host"]),
        st.binary(max_size=60) | st.integers(0, 9000).map(lambda size: b"v" * size),
    ),
    max_size=8,
)
propagators = st.lists(st.sampled_from(["tracecontext", "baggage", "b3", "b3multi", "none"]), max_size=4).map(tuple)


@settings(deadline=None)
@given(headers, propagators, st.sets(st.sampled_from([b"traceparent", b"baggage", b"b3", b"x-request-id"])))
def test_lines_are_bounded_whole_and_not_the_programs(
    brought: list[tuple[bytes, bytes]], chosen: tuple[str, ...], present: set[bytes]
) -> None:
    propagation = Propagation(chosen)
    text = propagation.lines(OURS, PARENT.span_id, propagation.extract(brought), present, b"\r\n")
    assert len(text) <= BUDGET
    assert text == b"" or text.endswith(b"\r\n")
    names = [line.partition(b": ")[0] for line in text.split(b"\r\n")[:-1]]
    assert not present & set(names)
    assert names.count(b"traceparent") <= 1


@pytest.mark.parametrize(
    ("brought", "sampler", "sampled"),
    [
        ([TRACEPARENT], "parentbased_always_off", True),
        ([TRACEPARENT], "always_off", False),
        ([(b"b3", b"0")], "parentbased_always_on", False),
        ([(b"b3", b"0")], "always_on", True),
        ([(b"b3", b"1")], "parentbased_always_off", True),
        ([(b"b3", B3[1][:-2])], "parentbased_always_on", True),
        ([(b"b3", B3[1][:-2])], "parentbased_always_off", False),
        ([], "parentbased_always_on", True),
        ([], "parentbased_always_off", False),
    ],
)
def test_sampling_follows_what_was_brought(brought: list[tuple[bytes, bytes]], sampler: str, sampled: bool) -> None:
    assert DEFAULT.extract(brought).decide(create(sampler, None), OURS.trace_id) is sampled
