"""Makes of a message head what may leave the machine: a still parsable head without secrets. This file does no I/O."""

from __future__ import annotations

import re

from rbinder.http.framing import REQUEST_LINE, STATUS_LINE

# What spans are made of (HTTP semantic conventions) and what tells of a body. Cookies, credentials and everything else
# stay behind, harmless or not: it would only be carried about.
ALLOWED = frozenset(
    {
        b"content-length",
        b"expect",
        b"forwarded",
        b"host",
        b"transfer-encoding",
        b"upgrade",
        b"user-agent",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
    }
)

# https://opentelemetry.io/docs/specs/semconv/registry/attributes/url/: query keys whose values are redacted.
_SECRET_QUERY = re.compile(
    rb"(?<=[?&;])(AWSAccessKeyId|Signature|sig|X-Goog-Signature|X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token)"
    rb"=[^&#]*"
)
_CREDENTIALS = re.compile(rb"\A((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?[^/?#]*@")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
# An allowed line that the next one doesn't continue (obs-fold), with no CR or NUL in its value.
_ALLOWED_LINE = re.compile(
    rb"\n(" + rb"|".join(sorted(ALLOWED, reverse=True)) + rb"):([^\r\n\0]*)\r*(?=\n(?![ \t])|\Z)", re.IGNORECASE
)
_WHITESPACE = bytes.maketrans(b"\v\f", b"  ")  # h11 takes neither in a value


def reduce_head(raw: bytes, limit: int) -> bytes:
    """The first line, the allowed header lines and the blank line of a head, CRLF, in at most `limit` bytes.

    `limit` is at least 80 (the longest method fits). What doesn't fit is cut at a line's end, an over-long target
    within itself. Lines continued by obs-fold are left out. Returns b"" if `raw` doesn't begin with a start line that
    scanners accept.
    """
    end = raw.find(b"\n")
    line = _start_line(raw[: end + 1] if end >= 0 else raw + b"\n", limit - 2)
    if not line:
        return b""
    kept = [line]
    room = limit - 2 - len(line)
    for name, value in _ALLOWED_LINE.findall(raw, max(end, 0)):
        text = _field(name.lower(), value)
        room -= len(text)
        if room < 0:
            break
        kept.append(text)
    kept.append(b"\r\n")
    return b"".join(kept).translate(_WHITESPACE)


def redact_target(target: bytes) -> bytes:
    """A request target without user name and password, and without the values of query keys known to be secret."""
    if b"@" in target and target[:1] != b"/":
        target = _CREDENTIALS.sub(rb"\1REDACTED:REDACTED@", target)
    if b"?" in target:
        target = _SECRET_QUERY.sub(rb"\1=REDACTED", target)
    return target


def _start_line(line: bytes, limit: int) -> bytes:
    """The start line in at most `limit` bytes, or b"" if it is none."""
    request = REQUEST_LINE.match(line)
    if request is None:
        return line.rstrip(b"\r\n")[: limit - 2] + b"\r\n" if STATUS_LINE.match(line) else b""
    method, target, version = request[1], redact_target(request[2]), request[3]
    target = _NOT_ASCII.sub(lambda match: b"%%%02X" % match[0][0], target)
    room = limit - len(method) - len(b"  HTTP/1.1\r\n")
    return b"%s %s HTTP/%s\r\n" % (method, target[: max(room, 1)], version)


def _field(name: bytes, value: bytes) -> bytes:
    """A header line ending in CRLF."""
    value = value.strip(b" \t\v\f")
    if name == b"host":
        value = value.rpartition(b"@")[2]
    return b"%s: %s\r\n" % (name, value)
