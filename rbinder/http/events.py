"""What the scanners report: heads, message ends and the point from which hands are kept off. This file does no I/O.

Every `at` is an offset in the buffer just fed (0..len), so that events can be lined up with what a system call moved.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Headers = list[tuple[bytes, bytes]]

_FOLD = re.compile(rb"\r?\n[ \t]+")
_FIELD = re.compile(rb"\n([^:\r\n]+):[ \t]*([^\r\n]*)")


def unfold(text: bytes) -> bytes:
    """Join continued header lines with one space (obs-fold, RFC 9112 5.2)."""
    return _FOLD.sub(b" ", text)


@dataclass(slots=True)
class Head:
    """A message head, reported at its blank line.

    `raw` is the head up to and including the blank line, also where the blank line's LF is still to come (see `at`);
    of a longer head than `framing.KEPT` bytes it is the first lines, without the blank line, and `truncated` is set.
    `at` is the offset just after what is there of the blank line. `insert_at` is the offset of the blank line's first
    byte: the place for more header lines. It always lies in the fed buffer, as a head is reported as soon as the CR
    that begins its blank line is seen. `newline` ends inserted lines the way the head's last line ended.
    """

    kind: Literal["request", "response"]
    raw: bytes
    at: int
    insert_at: int
    newline: bytes
    version: bytes  # b"1.0" or b"1.1"
    method: bytes = b""
    target: bytes = b""
    status: int = 0
    interim: bool = False  # a 1xx response other than 101: another head follows
    truncated: bool = False
    content_length: int | None = None  # as the header says, also where the message has no body (HEAD, 304)
    chunked: bool = False
    upgrade: bytes = b""  # the Upgrade header's value, lower case
    ends_connection: bool = False  # no other message can follow on this connection
    beyond: frozenset[bytes] = frozenset()  # truncated: names of trace context that occur anywhere in the head
    _headers: Headers | None = field(default=None, repr=False, compare=False)

    @property
    def headers(self) -> Headers:
        """Lower-case names and stripped values in their order; made when first asked for."""
        if self._headers is None:
            raw = self.raw
            if b"\n " in raw or b"\n\t" in raw:
                raw = unfold(raw)
            self._headers = [(name.lower(), value.rstrip(b" \t")) for name, value in _FIELD.findall(raw)]
        return self._headers


@dataclass(slots=True)
class End:
    """A message is complete. `body_size` counts the bytes after the head, framing of chunks and trailers included."""

    at: int
    body_size: int


@dataclass(slots=True)
class Opaque:
    """From here on the bytes are not understood, or no longer HTTP/1: they are to be left alone."""

    at: int


Event = Head | End | Opaque
