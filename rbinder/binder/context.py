"""Trace context on the wire: W3C Trace Context level 2, and B3. Bytes in, values out; this file does no I/O.

Nothing here raises on what a peer sent: what isn't valid is None or empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

SAMPLED = 0x01
RANDOM = 0x02  # level 2: the trace id's low 56 bits are random
KNOWN_FLAGS = SAMPLED | RANDOM
MAX_MEMBERS = 32  # of a tracestate
LARGE_MEMBER = 128  # bytes; larger members are the first to go (Trace Context, "tracestate Limits")

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class SpanContext:
    """What identifies a span across processes: 16 and 8 bytes of ids, the W3C flags, the W3C tracestate."""

    trace_id: bytes
    span_id: bytes
    flags: int = SAMPLED
    trace_state: str = ""

    @property
    def sampled(self) -> bool:
        return bool(self.flags & SAMPLED)


_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[^\0\r\n]*)?")


def parse_traceparent(values: list[bytes]) -> SpanContext | None:
    """The parent that a request's `traceparent` headers name, without tracestate; None unless there is exactly one and
    it is valid. Of a version above 00 the part known here is used."""
    if len(values) != 1:
        return None
    match = _TRACEPARENT.fullmatch(values[0].strip(b" \t"))
    if match is None:
        return None
    version, trace, span, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    return _valid(trace, span, int(flags, 16) & KNOWN_FLAGS)


def format_traceparent(context: SpanContext) -> bytes:
    """The header's value, version 00."""
    return b"00-%s-%s-%02x" % (
        context.trace_id.hex().encode(),
        context.span_id.hex().encode(),
        context.flags & KNOWN_FLAGS,
    )


# Level 2 takes "@" anywhere in a key but at its start; the W3C test suite still asks for level 1's tenant@vendor form.
# Keys of either level's plain form, and tenant@vendor keys, are taken.
_KEY = rb"(?:[a-z0-9][a-z0-9_*/-]{0,240}@[a-z0-9][a-z0-9_*/-]{0,13}|[a-z0-9][a-z0-9_*/-]{0,255})"
_VALUE = rb"[ -+\x2d-<>-~]{0,255}[!-+\x2d-<>-~]"
_MEMBER = re.compile(rb"(" + _KEY + rb")=" + _VALUE)


def parse_tracestate(values: list[bytes]) -> str:
    """The tracestate of a request's `tracestate` headers, joined in their order; "" if any of it is invalid.

    Empty members are dropped. A duplicate key or more than 32 members make all of it invalid.
    """
    members: dict[bytes, bytes] = {}
    for part in b",".join(values).split(b","):
        member = part.strip(b" \t")
        if not member:
            continue
        match = _MEMBER.fullmatch(member)
        if match is None or match[1] in members or len(members) == MAX_MEMBERS:
            return ""
        members[match[1]] = member
    return b",".join(members.values()).decode("ascii")


def shorten_tracestate(state: str, limit: int) -> str:
    """A tracestate of at most `limit` characters: without its large members, then without its last ones."""
    if len(state) <= limit:
        return state
    members = [member for member in state.split(",") if len(member) <= LARGE_MEMBER]
    while members and sum(map(len, members)) + len(members) - 1 > limit:
        members.pop()
    return ",".join(members)


def _valid(trace: bytes, span: bytes, flags: int) -> SpanContext | None:
    trace_id, span_id = bytes.fromhex(trace.decode()), bytes.fromhex(span.decode())
    if not any(trace_id) or not any(span_id):
        return None
    return SpanContext(trace_id, span_id, flags)


@dataclass(frozen=True, slots=True)
class B3:
    """What B3 headers say; `parent` is None without ids, `sampled` where the decision is left to the receiver."""

    parent: SpanContext | None = None
    sampled: bool | None = None
    debug: bool = False


_B3_SINGLE = re.compile(rb"([0-9a-fA-F]{16}|[0-9a-fA-F]{32})-([0-9a-fA-F]{16})(?:-([01d])(?:-[0-9a-fA-F]{16})?)?")
_B3_TRACE = re.compile(rb"[0-9a-fA-F]{16}|[0-9a-fA-F]{32}")
_B3_SPAN = re.compile(rb"[0-9a-fA-F]{16}")
_B3_SAMPLED = {b"1": True, b"true": True, b"d": True, b"0": False, b"false": False}


def parse_b3(headers: Headers) -> B3 | None:
    """What the `b3` header says, else the `x-b3-*` headers; None if there is nothing valid. Names are lower case."""
    found = {name: value.strip(b" \t") for name, value in headers if name == b"b3" or name.startswith(b"x-b3-")}
    if not found:
        return None
    return _b3_single(found.get(b"b3", b"")) or _b3_multi(found)


def _b3_single(value: bytes) -> B3 | None:
    if value in (b"0", b"1", b"d"):
        return B3(None, _B3_SAMPLED[value], value == b"d")
    match = _B3_SINGLE.fullmatch(value)
    if match is None:
        return None
    return _b3(match[1], match[2], _B3_SAMPLED.get(match[3] or b""), match[3] == b"d")


def _b3_multi(found: dict[bytes, bytes]) -> B3 | None:
    debug = found.get(b"x-b3-flags") == b"1"
    sampled = True if debug else _B3_SAMPLED.get(found.get(b"x-b3-sampled", b"").lower())
    trace, span = found.get(b"x-b3-traceid", b""), found.get(b"x-b3-spanid", b"")
    if _B3_TRACE.fullmatch(trace) and _B3_SPAN.fullmatch(span):
        return _b3(trace, span, sampled, debug)
    return None if sampled is None else B3(None, sampled, debug)


def _b3(trace: bytes, span: bytes, sampled: bool | None, debug: bool) -> B3 | None:
    parent = _valid(trace.rjust(32, b"0"), span, SAMPLED if sampled else 0)
    return B3(parent, sampled, debug) if parent else None


def format_b3_single(context: SpanContext, parent_span_id: bytes | None, debug: bool = False) -> bytes:
    """The value of the `b3` header. `parent_span_id`: 8 bytes, or None or zeros for a root."""
    state = b"d" if debug else b"1" if context.sampled else b"0"
    value = b"%s-%s-%s" % (context.trace_id.hex().encode(), context.span_id.hex().encode(), state)
    if parent_span_id and any(parent_span_id):
        value += b"-" + parent_span_id.hex().encode()
    return value


def format_b3_multi(
    context: SpanContext, parent_span_id: bytes | None, debug: bool = False
) -> tuple[tuple[bytes, bytes], ...]:
    """The `x-b3-*` header lines; debug stands for sampled, so they never come together."""
    lines = [
        (b"x-b3-traceid", context.trace_id.hex().encode()),
        (b"x-b3-spanid", context.span_id.hex().encode()),
        (b"x-b3-flags", b"1") if debug else (b"x-b3-sampled", b"1" if context.sampled else b"0"),
    ]
    if parent_span_id and any(parent_span_id):
        lines.append((b"x-b3-parentspanid", parent_span_id.hex().encode()))
    return tuple(lines)
