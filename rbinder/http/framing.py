"""Reads a complete message head: its start line, and what its fields say about the body. This file does no I/O.

The rule: in doubt the answer is None, "not a head we understand", and the connection is left alone. Accepting a head
that the program's own parser reads differently could put a header line into a body.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from rbinder.http.events import unfold

KEPT = 65536 - 2  # bytes of a head before its blank line that are kept; with the blank line 64 KiB
UNLIMITED = 1 << 62  # bytes; a body that ends with the connection

_TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"  # RFC 9110 5.6.2
_METHOD = _TCHAR + rb"{1,64}+"  # the longest registered method has 17 letters
_TARGET_CHAR = rb"[!-~\x80-\xff]"  # RFC 9112 3.2, and the raw UTF-8 that curl and others send
_LINES = rb"(?:" + _TCHAR + rb"++:[^\0\r\n]*+\r?\n)*+"

_REQUEST_LINE = rb"(" + _METHOD + rb") (" + _TARGET_CHAR + rb"++) HTTP/(1\.[01])\r?\n"
_STATUS_LINE = rb"HTTP/(1\.[01]) ([1-9][0-9][0-9])(?: [^\0\r\n]*+)?\r?\n"

REQUEST = re.compile(_REQUEST_LINE + _LINES)
RESPONSE = re.compile(_STATUS_LINE + _LINES)
FIELDS = re.compile(_LINES)
_PROPAGATED = re.compile(
    rb"\n(traceparent|tracestate|baggage|b3|x-b3-[^:\r\n]*|x-request-id|x-ot-span-context):", re.IGNORECASE
)
REQUEST_LINE = re.compile(_REQUEST_LINE)
STATUS_LINE = re.compile(_STATUS_LINE)
_START_LINES = {REQUEST: REQUEST_LINE, RESPONSE: STATUS_LINE}
# The beginning of a start line whose end is still to come.
REQUEST_LINE_PREFIX = re.compile(_METHOD + rb"(?: " + _TARGET_CHAR + rb"*+(?: [HTP/1.0]*+\r?)?)?\Z")
STATUS_LINE_PREFIX = re.compile(rb"(?:H|HT|HTT|HTTP|HTTP/|HTTP/1|HTTP/1\.|HTTP/1\.[01](?: [^\0\n]*+)?)\Z")

REQUEST_STARTS = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
RESPONSE_STARTS = frozenset(b"H")

_FRAMING = re.compile(rb"\n(content-length|transfer-encoding|connection|upgrade):([^\r\n]*)", re.IGNORECASE)
_LONG_LINE = re.compile(_TCHAR + rb"{1,256}+:")
_MAX_FIELDS = 64  # fields about framing that are remembered of one very long head
_LENGTH = re.compile(rb"[0-9]{1,18}\Z")


@dataclass(slots=True, frozen=True)
class Framing:
    """What a head's fields say about the body and the connection."""

    content_length: int | None = None
    chunked: bool = False
    other_coding: bool = False  # a transfer coding of which chunked is not the last
    upgrade: bytes = b""
    close: bool = False
    keep_alive: bool = False


NO_FIELDS = Framing()
Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True, frozen=True)
class Start:
    """A start line: `first` and `second` are a request's method and target, or a response's status and nothing."""

    version: bytes
    first: bytes
    second: bytes


@dataclass(slots=True, frozen=True)
class LongHead:
    """What is remembered of the lines of a head that outgrew KEPT."""

    start: Start
    raw: bytes
    fields: Fields
    propagated: frozenset[bytes] = frozenset()  # names of trace context that occur anywhere in it, lower case


def match_lines(pattern: re.Pattern[bytes], text: bytes, begin: int, end: int) -> re.Match[bytes] | None:
    """Match whole header lines, joining continued ones where there are any. A start line must stand in one line."""
    match = pattern.fullmatch(text, begin, end)
    if match is None and (text.find(b"\n ", begin, end) >= 0 or text.find(b"\n\t", begin, end) >= 0):
        line = _START_LINES.get(pattern)
        if line is None or line.match(text, begin, end):
            match = pattern.fullmatch(unfold(text[begin:end]))
    return match


def framing_fields(match: re.Match[bytes]) -> Fields:
    """The fields that decide about framing, names and values as they stand."""
    return tuple(_FRAMING.findall(match.string, match.start(), match.end()))


@lru_cache(maxsize=256)  # heads of one connection say the same again and again: 0.2 µs instead of 3
def framing(fields: Fields) -> Framing | None:
    """What framing_fields() found, read by RFC 9112 6; None where it contradicts itself."""
    if not fields:
        return NO_FIELDS
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value.lower())
    length = None
    lengths = {part.strip(b" \t") for part in b",".join(values.get(b"content-length", ())).split(b",")}
    if b"content-length" in values:
        text = lengths.pop()
        if lengths or not _LENGTH.match(text):
            return None
        length = int(text)
    codings = _tokens(values.get(b"transfer-encoding", []))
    if codings.count(b"chunked") > 1:
        return None
    options = _tokens(values.get(b"connection", []))
    coded = b"transfer-encoding" in values
    chunked = bool(codings) and codings[-1] == b"chunked"
    return Framing(
        content_length=None if coded else length,
        chunked=chunked,
        other_coding=coded and not chunked,
        upgrade=b", ".join(_tokens(values.get(b"upgrade", []))),
        close=b"close" in options,
        keep_alive=b"keep-alive" in options,
    )


def _tokens(values: list[bytes]) -> list[bytes]:
    return [token for value in values for part in value.split(b",") if (token := part.strip(b" \t"))]


def fold_long(pattern: re.Pattern[bytes], long: LongHead | None, held: bytes) -> tuple[LongHead, bytes] | None:
    """Take in the complete lines of a head that outgrew KEPT.

    Returns what is remembered, and the unfinished line behind the two bytes before it (which find_blank() needs, and
    which `held` begins with when there is a `long`); or None if this is no head.
    """
    cut = held.rfind(b"\n") + 1
    if long is None:
        long = _first_lines(pattern, held, cut)
    elif cut > 2:
        match = match_lines(FIELDS, held, 2, cut)
        if match is None:
            return None
        found = _FRAMING.findall(b"\n" + match.string[match.start() : match.end()])
        if len(long.fields) + len(found) > _MAX_FIELDS:
            return None
        names = long.propagated | _propagated(match.string[match.start() : match.end()])
        long = LongHead(long.start, long.raw, (*long.fields, *found), names)
    if long is None:
        return None
    line = held[cut - 2 :]
    if len(line) > KEPT:
        name = _LONG_LINE.match(held, cut)
        if name is None or _FRAMING.match(b"\n" + name.group()):
            return None
        long = LongHead(long.start, long.raw, long.fields, long.propagated | _propagated(name.group()))
        # stands for the line so far, whose value is of no interest, but for a CR that may be part of its end
        line = held[cut - 2 : cut] + (b"x:\r" if held.endswith(b"\r") else b"x:")
    return long, line


def _first_lines(pattern: re.Pattern[bytes], held: bytes, cut: int) -> LongHead | None:
    match = match_lines(pattern, held, 0, cut)
    raw = held[: held.rfind(b"\n", 0, KEPT) + 1]
    if match is None or not raw:
        return None
    return LongHead(start_line(match), raw, framing_fields(match), _propagated(held[:cut]))


def _propagated(lines: bytes) -> frozenset[bytes]:
    return frozenset(name.lower() for name in _PROPAGATED.findall(b"\n" + lines))


def start_line(match: re.Match[bytes]) -> Start:
    """The start line of a match of REQUEST or RESPONSE."""
    if match.re is REQUEST:
        return Start(match[3], match[1], match[2])
    return Start(match[1], match[2], b"")


def find_blank(text: bytes, begin: int) -> int:
    """The offset of the blank line that ends a head (its CR if it has one), or -1. A LF must precede it."""
    carriage = text.find(b"\n\r", begin)
    bare = text.find(b"\n\n", begin, len(text) if carriage < 0 else carriage + 1)
    blank = bare if bare >= 0 else carriage
    return blank + 1 if blank >= 0 else -1
