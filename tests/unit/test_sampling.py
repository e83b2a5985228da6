"""The samplers decide as the SDK's do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.trace import sampling as sdk
from opentelemetry.trace import NonRecordingSpan, TraceFlags, set_span_in_context
from opentelemetry.trace import SpanContext as SdkContext

from rbinder.binder.context import SpanContext
from rbinder.binder.sampling import DEFAULT, NAMES, create
from rbinder.errors import UsageError

identifiers = st.binary(min_size=16, max_size=16).filter(any)
ratios = st.floats(0, 1)


def sdk_sampler(name: str, ratio: float) -> sdk.Sampler:
    root = {"on": sdk.ALWAYS_ON, "off": sdk.ALWAYS_OFF}.get(name.rpartition("_")[2]) or sdk.TraceIdRatioBased(ratio)
    return sdk.ParentBased(root) if name.startswith("parentbased") else root


def sdk_parent(parent: SpanContext | None, remote: bool) -> Context | None:
    if parent is None:
        return None
    numbers = int.from_bytes(parent.trace_id, "big"), int.from_bytes(parent.span_id, "big")
    return set_span_in_context(NonRecordingSpan(SdkContext(*numbers, remote, TraceFlags(parent.flags))))


@settings(deadline=None)
@given(st.sampled_from(NAMES), ratios, identifiers, st.none() | st.integers(0, 3), st.booleans())
def test_decisions_equal_the_sdks(name: str, ratio: float, trace_id: bytes, flags: int | None, remote: bool) -> None:
    parent = None if flags is None else SpanContext(trace_id, b"\1" * 8, flags)
    theirs = sdk_sampler(name, ratio).should_sample(
        sdk_parent(parent, remote), int.from_bytes(trace_id, "big"), "a span"
    )
    assert create(name, ratio).decide(parent, trace_id) is (theirs.decision is sdk.Decision.RECORD_AND_SAMPLE)


@settings(deadline=None)
@given(ratios, st.integers(-2, 2))
def test_the_bound_is_the_sdks(ratio: float, beside: int) -> None:
    """Trace ids right beside the bound, where a rounding would show."""
    theirs = sdk.TraceIdRatioBased(ratio)
    low = min(max(theirs.bound + beside, 0), (1 << 64) - 1)
    trace_id = b"\xff" * 8 + low.to_bytes(8, "big")
    decision = theirs.should_sample(None, int.from_bytes(trace_id, "big"), "a span").decision
    assert create("traceidratio", ratio).decide(None, trace_id) is (decision is sdk.Decision.RECORD_AND_SAMPLE)


@pytest.mark.parametrize(("argument", "like"), [(None, 1.0), (2.0, 1.0), (-1.0, 0.0), (float("nan"), 1.0)])
def test_odd_arguments(argument: float | None, like: float) -> None:
    assert create("traceidratio", argument) == create("traceidratio", like)


def test_names() -> None:
    assert DEFAULT in NAMES
    with pytest.raises(UsageError, match=r"jaeger_remote.*parentbased_traceidratio"):
        create("jaeger_remote", None)
