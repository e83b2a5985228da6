"""Walks over a chunked body without looking at its data (RFC 9112 7.1). This file does no I/O."""

from __future__ import annotations

import re

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_REMEMBERED = 64  # bytes of an unfinished line: its beginning tells all, the rest is an extension or a trailer

_SIZE, _DATA, _DATA_END, _DATA_LF, _TRAILER, _DONE, _BROKEN = range(7)


class ChunkedBody:
    """Position in a chunked body. `left` is how many bytes of chunk data come next."""

    __slots__ = ("_line", "_state", "left")

    def __init__(self) -> None:
        self._state = _SIZE
        self._line = b""  # the beginning of an unfinished line
        self.left = 0

    def copy(self) -> ChunkedBody:
        other = ChunkedBody()
        other._state, other._line, other.left = self._state, self._line, self.left
        return other

    @property
    def done(self) -> bool:
        return self._state == _DONE

    @property
    def broken(self) -> bool:
        return self._state == _BROKEN

    def skip(self, count: int) -> None:
        """Pass over `count` bytes of chunk data (1 to `left`)."""
        self.left -= count
        if not self.left:
            self._state = _DATA_END

    def feed(self, data: bytes, at: int) -> int:
        """Go on at data[at:]; returns the offset where the body ends, or breaks, or the buffer does."""
        size = len(data)
        while at < size and self._state < _DONE:
            at = _STEPS[self._state](self, data, at)
        return at

    def _size_line(self, data: bytes, at: int) -> int:
        if self._line:
            end = data.find(b"\n", at) + 1
            text, begin = self._line + data[at : end or at + _REMEMBERED], 0
        else:
            end, text, begin = -1, data, at
        match = _SIZE_LINE.match(text, begin)
        if match is None:
            return self._unfinished(data, at, text, begin)
        self._line = b""
        self.left = int(match[1], 16)
        self._state = _DATA if self.left else _TRAILER
        return end if end >= 0 else match.end()

    def _unfinished(self, data: bytes, at: int, text: bytes, begin: int) -> int:
        if data.find(b"\n", at) >= 0:
            self._state = _BROKEN
            return at
        self._line = text[begin : begin + _REMEMBERED]
        return len(data)

    def _data(self, data: bytes, at: int) -> int:
        count = min(self.left, len(data) - at)
        self.skip(count)
        return at + count

    def _data_end(self, data: bytes, at: int) -> int:
        byte = data[at]
        if byte == 10:
            self._state = _SIZE
        elif byte == 13 and self._state == _DATA_END:
            self._state = _DATA_LF
        else:
            self._state = _BROKEN
            return at
        return at + 1

    def _trailer(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1
        if not end:
            self._line = (self._line + data[at : at + 2])[:2]
            return len(data)
        line = self._line + data[at : min(end, at + 2)]
        self._line = b""
        if line in (b"\n", b"\r\n"):
            self._state = _DONE
        return end


_STEPS = (
    ChunkedBody._size_line,
    ChunkedBody._data,
    ChunkedBody._data_end,
    ChunkedBody._data_end,
    ChunkedBody._trailer,
)
