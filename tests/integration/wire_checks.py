"""What a peer may find different from what the program sent: one block of header lines in each request's head."""

from __future__ import annotations

import re

from conformance.wire_cases import PLACE
from replays import Wire

# Messages that the wire tests send; PLACE marks where a block comes.
GET = b"GET /first HTTP/1.1\r\nHost: a\r\n<+>\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n<+>\r\n"
PLAIN = NEXT.replace(PLACE, b"")  # where it mustn't be changed
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n<+>\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

_BLOCK = re.compile(
    rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-3](\r?\n)(?:(?:tracestate|baggage|x-request-id): [^\r\n]*\3)*"
)


def inserted(received: bytes, marked: bytes) -> list[bytes]:
    """Check that `received` is `marked` with one block of lines at each PLACE; returns the blocks' span ids."""
    at, identifiers = 0, []
    first, *others = marked.split(PLACE)
    assert received.startswith(first), f"changed: {difference(received, first)}"
    at = len(first)
    before = first
    for part in others:
        block = _BLOCK.match(received, at)
        assert block is not None, f"nothing inserted at {at}: {received[max(0, at - 40) : at + 80]!r}"
        assert block[3] == (b"\r\n" if before.endswith(b"\r\n") else b"\n"), "ended otherwise than the head's lines"
        identifiers.append(block[2])
        at = block.end()
        assert received.startswith(part, at), f"changed: {difference(received[at:], part)}"
        at += len(part)
        before = part
    assert at == len(received), f"more than was sent: {received[at : at + 80]!r}"
    return identifiers


def difference(found: bytes, wanted: bytes) -> str:
    """Where they begin to differ."""
    at = next((i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), min(len(found), len(wanted)))
    return f"at {at}: {found[max(0, at - 40) : at + 40]!r} for {wanted[max(0, at - 40) : at + 40]!r}"


def without_blocks(received: bytes) -> bytes:
    """`received` without what was inserted directly before a blank line (or a CR that looked like its beginning)."""
    return re.sub(_BLOCK.pattern + rb"(?=[\r\n])", b"", received)


def check(wires: list[Wire]) -> None:
    """Each connection carried exactly what was expected, and no two heads got the same span id."""
    identifiers = [found for wire in wires for found in inserted(bytes(wire.received), bytes(wire.expected))]
    assert len(set(identifiers)) == len(identifiers)
