"""The OpenTelemetry samplers' decisions, made where the trace starts. This file does no I/O and needs no SDK.

The SDK only sees a span when it is over; the sampled flag must be on the wire long before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rbinder.binder.context import SpanContext
from rbinder.errors import UsageError

_ALL = 1 << 64  # a trace id's low 64 bits are compared with the ratio of this
_PARENT = "parentbased_"
_ROOTS = ("always_on", "always_off", "traceidratio")

DEFAULT = "parentbased_always_on"
NAMES = (*_ROOTS, *(_PARENT + root for root in _ROOTS))


@dataclass(frozen=True, slots=True)
class Sampler:
    """`bound`: trace ids whose low 64 bits are below it are sampled. `parent_based`: a parent's flag decides first."""

    bound: int
    parent_based: bool

    def decide(self, parent: SpanContext | None, trace_id: bytes) -> bool:
        """Whether a span of the trace `trace_id` (16 bytes), child of `parent`, is sampled."""
        if self.parent_based and parent is not None:
            return parent.sampled
        return int.from_bytes(trace_id[-8:], "big") < self.bound


def create(name: str, argument: float | None) -> Sampler:
    """The sampler OTEL_TRACES_SAMPLER names; `argument` is the ratio (None: 1; outside 0..1: the nearer of them).

    Raises UsageError for a name that isn't in NAMES.
    """
    if name not in NAMES:
        raise UsageError(f"unknown sampler {name!r}: use one of {', '.join(NAMES)}")
    root = name.removeprefix(_PARENT)
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(root, 1.0 if argument is None else argument)
    if math.isnan(ratio):
        ratio = 1.0
    return Sampler(round(min(max(ratio, 0.0), 1.0) * _ALL), name.startswith(_PARENT))
