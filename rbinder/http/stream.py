"""Follows HTTP/1 messages in one direction of a connection, cut anywhere: the states both directions share.

This file does no I/O. It is run while the traced program waits, so the rules are: no loop over single bytes, state of
bounded size, no exception on any input, and hands off (`opaque`) as soon as the bytes can't be HTTP/1.

    START ──first byte──▶ HEAD ──blank line──▶ BODY or CHUNKS ──▶ START      any of them ──not HTTP/1──▶ OPAQUE
                            └──its CR only──▶ BLANK_LF ──LF──┘
"""

from __future__ import annotations

import re
from typing import Self

from rbinder.http.chunks import ChunkedBody
from rbinder.http.events import End, Event, Head, Opaque
from rbinder.http.framing import (
    KEPT,
    UNLIMITED,
    Framing,
    LongHead,
    Start,
    find_blank,
    fold_long,
    framing,
    framing_fields,
    match_lines,
    start_line,
)

_CR, _LF = b"\r\n"
_EMPTY_LINES = re.compile(rb"[\r\n]*")
START, _HEAD, _BLANK_LF, _BODY, _CHUNKS, TUNNEL, _OPAQUE = range(7)


class Scanner:
    """What both directions share. Subclasses say how a start line looks and what a head means for the body."""

    __slots__ = ("_chunks", "_held", "_left", "_lined", "_long", "_pending", "_size", "_state")

    _pattern: re.Pattern[bytes]
    _line: re.Pattern[bytes]
    _line_prefix: re.Pattern[bytes]
    _starts: frozenset[int]

    def __init__(self) -> None:
        self._forget(START)

    def _forget(self, state: int) -> None:
        """Go to `state` with nothing held."""
        self._state = state
        self._held = b""  # the beginning of a head whose end is still to come
        self._lined = False  # the start line in _held is complete and good
        self._long: LongHead | None = None  # what is remembered of a head that outgrew _held
        self._pending: tuple[Head, Framing] | None = None  # a head reported before its blank line's LF came
        self._left = 0  # body bytes to come
        self._size = 0  # body bytes seen
        self._chunks: ChunkedBody | None = None

    def copy(self) -> Self:
        """An independent scanner in the same state; cheap."""
        other = self.__class__.__new__(self.__class__)
        other._state, other._held, other._lined, other._long = self._state, self._held, self._lined, self._long
        other._pending, other._left, other._size = self._pending, self._left, self._size
        other._chunks = self._chunks and self._chunks.copy()
        return other

    @property
    def opaque(self) -> bool:
        """Hands off: not HTTP/1, not understood, a tunnel, given up, or ended."""
        return self._state >= TUNNEL

    @property
    def idle(self) -> bool:
        """Between messages, no byte of the next one seen (empty lines before it don't count)."""
        return self._state == START

    @property
    def skippable(self) -> int:
        """How many of the next bytes are body data and need not be fed: skip() them."""
        if self._state == _BODY:
            return self._left
        if self._state == _CHUNKS and self._chunks:
            return self._chunks.left
        return UNLIMITED if self._state == _OPAQUE else 0

    def give_up(self) -> None:
        """Keep hands off from now on."""
        self._forget(_OPAQUE)

    def feed(self, data: bytes) -> list[Event]:
        """Go over the next bytes of the stream and report what they complete."""
        events: list[Event] = []
        at, size = 0, len(data)
        while at < size and self._state != _OPAQUE:
            at = _STEPS[self._state](self, data, at, events)
        return events

    def skip(self, count: int) -> list[Event]:
        """The same as feeding `count` bytes of body, for count <= skippable."""
        events: list[Event] = []
        if self._state == _OPAQUE or count <= 0:
            return events
        if count > self.skippable:
            self._hands_off(0, events)
        elif self._state == _CHUNKS and self._chunks:
            self._chunks.skip(count)
            self._size += count
        else:
            self._pass_body(count, count, events)
        return events

    def eof(self) -> list[Event]:
        """The direction was shut down: a close-delimited message is complete, a counted one stays incomplete."""
        events: list[Event] = []
        if self._state == _BODY and self._left > UNLIMITED >> 1:
            events.append(End(0, self._size))
        self.give_up()
        return events

    def _hands_off(self, at: int, events: list[Event]) -> int:
        self.give_up()
        events.append(Opaque(at))
        return at

    # One step each: take bytes from data[at:], return the offset after them.

    def _start(self, data: bytes, at: int, events: list[Event]) -> int:
        if not self._awaits_message():
            return len(data)
        if data[at] in b"\r\n":  # RFC 9112 2.2: empty lines before a request line are ignored
            match = _EMPTY_LINES.match(data, at)
            at = match.end() if match else at
            if at == len(data):
                return at
        if data[at] not in self._starts:
            return self._hands_off(at, events)
        self._state = _HEAD
        return self._head(data, at, events)

    def _head(self, data: bytes, at: int, events: list[Event]) -> int:
        held = self._held
        if held:  # text[i] is data[i - shift]
            text, begin, shift = held + data[at:], 0, len(held) - at
            blank = find_blank(text, len(held) - 1)
        else:
            text, begin, shift = data, at, 0
            blank = find_blank(text, at)
        if blank < 0:
            return self._hold(text[begin:], at, data, events)
        end = blank + (2 if text[blank] == _CR else 1)
        if end == blank + 2 <= len(text) and text[blank + 1] != _LF:
            return self._hands_off(at, events)
        complete = end <= len(text)
        made = self._make_head(text, begin, blank)
        if made is None:
            return self._hands_off(at, events)
        head, body = made
        head.insert_at, head.at = blank - shift, min(end, len(text)) - shift
        self._held, self._lined, self._long = b"", False, None
        events.append(head)
        if complete:
            self._begin_body(head, body, head.at, events)
        else:
            self._pending, self._state = made, _BLANK_LF
        return head.at

    def _hold(self, text: bytes, at: int, data: bytes, events: list[Event]) -> int:
        if not self._lined:
            complete = b"\n" in text
            if not (self._line if complete else self._line_prefix).match(text):
                return self._hands_off(at, events)
            self._lined = complete
        if len(text) > KEPT:
            folded = fold_long(self._pattern, self._long, text)
            if folded is None:
                return self._hands_off(at, events)
            self._long, text = folded
        self._held = text
        return len(data)

    def _make_head(self, text: bytes, begin: int, blank: int) -> tuple[Head, Framing] | None:
        """Parse text[begin:blank], or what comes after the lines already folded away."""
        if self._long or blank - begin > KEPT:
            folded = fold_long(self._pattern, self._long, text[begin:blank])
            if folded is None:
                return None
            long = folded[0]
            start, raw, fields, beyond = long.start, long.raw, long.fields, long.propagated
        else:
            match = match_lines(self._pattern, text, begin, blank)
            if match is None:
                return None
            start, fields, beyond = start_line(match), framing_fields(match), None
            raw = text[begin:blank] + (b"\r\n" if text[blank] == _CR else b"\n")
        body = framing(fields)
        if body is None:
            return None
        newline = b"\r\n" if text[blank - 2 : blank - 1] == b"\r" else b"\n"
        head = self._interpret(start, raw, newline, body)
        if head is None:
            return None
        if beyond is not None:
            head.truncated, head.beyond = True, beyond
        return head, body

    def _blank_lf(self, data: bytes, at: int, events: list[Event]) -> int:
        if data[at] != _LF or self._pending is None:
            return self._hands_off(at, events)
        head, body = self._pending
        self._pending = None
        self._begin_body(head, body, at + 1, events)
        return at + 1

    def _expect_body(self, size: int | None, at: int, events: list[Event]) -> None:
        """A body of `size` bytes follows (None: a chunked one)."""
        self._size = 0
        if size is None:
            self._state, self._chunks = _CHUNKS, ChunkedBody()
        elif size:
            self._state, self._left = _BODY, size
        else:
            self._state = START
            events.append(End(at, 0))

    def _body(self, data: bytes, at: int, events: list[Event]) -> int:
        count = min(self._left, len(data) - at)
        self._pass_body(count, at + count, events)
        return at + count

    def _pass_body(self, count: int, at: int, events: list[Event]) -> None:
        self._size += count
        self._left -= count
        if not self._left:
            self._state = START
            events.append(End(at, self._size))

    def _chunked(self, data: bytes, at: int, events: list[Event]) -> int:
        chunks = self._chunks
        if chunks is None:
            return self._hands_off(at, events)
        after = chunks.feed(data, at)
        self._size += after - at
        if chunks.broken:
            return self._hands_off(after, events)
        if chunks.done:
            self._state, self._chunks = START, None
            events.append(End(after, self._size))
        return after

    def _tunnelled(self, data: bytes, at: int, events: list[Event]) -> int:
        self.give_up()
        return len(data)

    def _awaits_message(self) -> bool:
        raise NotImplementedError

    def _interpret(self, start: Start, raw: bytes, newline: bytes, body: Framing) -> Head | None:
        raise NotImplementedError

    def _begin_body(self, head: Head, body: Framing, at: int, events: list[Event]) -> None:
        raise NotImplementedError


_STEPS = (
    Scanner._start,
    Scanner._head,
    Scanner._blank_lf,
    Scanner._body,
    Scanner._chunked,
    Scanner._tunnelled,
)
