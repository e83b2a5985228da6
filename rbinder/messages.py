"""Reads HTTP/1 heads with h11, and the ordinary ones by one regular expression that gives the same result.

The expression accepts a part of what h11 accepts (a property test compares the two); everything else goes to h11, and
of what h11 refuses the first line and the headers are taken as far as they can be made out. This file does no I/O and
raises nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeVar

import h11

Headers = list[tuple[bytes, bytes]]
T = TypeVar("T")


_REMEMBERED = 1024  # heads, and blocks of header fields, that were read before: most recur
_LONGEST = 1024  # bytes of one that is remembered


@dataclass(slots=True)
class Request:
    """A request's head; header names are lower case. An empty `method` or `version` is unknown."""

    method: str
    target: str
    version: str
    headers: Headers = field(default_factory=list)


@dataclass(slots=True)
class Response:
    """A response's head; header names are lower case. A status of 0 and an empty `version` are unknown."""

    status: int
    version: str
    headers: Headers = field(default_factory=list)


def header(headers: Headers, name: bytes) -> str:
    """The first value of that header, "" where there is none."""
    for key, value in headers:
        if key == name:
            return text(value)
    return ""


def text(value: bytes) -> str:
    """Wire bytes as text that every exporter can encode."""
    return value.decode("utf-8", "replace")


def parse_request(head: bytes) -> Request | None:
    """The request of a head; None for an empty one, which stands for a request that was never seen."""
    if not head.strip():
        return None
    found = _requests.get(head)
    if found is None:
        whole = _ended(head)
        found = ordinary_request(whole) or strict_request(whole) or _loose_request(whole)
        _remember(_requests, head, found)
    return found


def parse_response(head: bytes) -> Response | None:
    """The response of a head; None for an empty one."""
    if not head.strip():
        return None
    found = _responses.get(head)
    if found is None:
        whole = _ended(head)
        found = ordinary_response(whole) or strict_response(whole) or _loose_response(whole)
        _remember(_responses, head, found)
    return found


_requests: dict[bytes, Request] = {}
_responses: dict[bytes, Response] = {}  # shared, as are the lists of fields: nobody changes them
_blocks: dict[bytes, Headers] = {}


def _remember(table: dict[bytes, T], key: bytes, value: T) -> None:
    if len(key) <= _LONGEST:
        if len(table) >= _REMEMBERED:
            table.clear()
        table[key] = value


def _ended(head: bytes) -> bytes:
    """The head with its blank line, which a head cut at a limit lacks."""
    if head.endswith((b"\r\n\r\n", b"\n\n", b"\n\r\n")):
        return head
    return head + (b"\r\n" if head.endswith(b"\n") else b"\r\n\r\n")


# RFC 9110 section 5.6.2 (token) and 5.5 (field value; no control characters here), RFC 9112 sections 3 to 5.
_TOKEN = rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+"
_FIELDS = rb"((?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/(1\.[01])\r\n" + _FIELDS)
_RESPONSE = re.compile(rb"HTTP/(1\.[01]) ([2-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n" + _FIELDS)
_LENGTH_DIGITS = 20  # of a Content-Length, h11's limit


def ordinary_request(head: bytes) -> Request | None:
    """The request of an ordinary head, equal to `strict_request`'s; None where that has to look."""
    match = _REQUEST.fullmatch(head)
    fields = _ordinary_fields(match[4]) if match else None
    if match is None or fields is None:
        return None
    return Request(match[1].decode("ascii"), match[2].decode("ascii"), match[3].decode("ascii"), fields)


def ordinary_response(head: bytes) -> Response | None:
    """The response of an ordinary head, equal to `strict_response`'s; None where that has to look."""
    match = _RESPONSE.fullmatch(head)
    fields = _ordinary_fields(match[3]) if match else None
    if match is None or fields is None:
        return None
    return Response(int(match[2]), match[1].decode("ascii"), fields)


def _ordinary_fields(block: bytes) -> Headers | None:
    """The header fields; None where h11 might refuse or rewrite one."""
    known = _blocks.get(block)
    if known is not None:
        return known
    fields: Headers = []
    special: set[bytes] = set()
    for line in block.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name in (b"host", b"content-length", b"transfer-encoding"):
            if name in special or not _is_plain(name, value):
                return None
            special.add(name)
        fields.append((name, value))
    _remember(_blocks, block, fields)
    return fields


def _is_plain(name: bytes, value: bytes) -> bool:
    if name == b"content-length":
        return value.isdigit() and len(value) <= _LENGTH_DIGITS
    return name == b"host" or value == b"chunked"


_HOST_LINE = re.compile(rb"^host[ \t]*:", re.IGNORECASE | re.MULTILINE)
_DUMMY_HOST = b"Host: h11.invalid"


def strict_request(head: bytes) -> Request | None:
    """What h11 reads, None where it refuses. A missing Host, which h11 refuses in HTTP/1.1, is lent for the moment."""
    lent = not _HOST_LINE.search(head)
    if lent:
        line, end, rest = head.partition(b"\n")
        head = line + end + _DUMMY_HOST + b"\r\n" + rest
    event = _event(h11.Connection(h11.SERVER), head)
    if not isinstance(event, h11.Request):
        return None
    headers = _listed(event.headers)[1:] if lent else _listed(event.headers)
    return Request(text(event.method), text(event.target), text(event.http_version), headers)


def strict_response(head: bytes) -> Response | None:
    """What h11 reads, None where it refuses. An upgrade is offered first, so that a 101 is an answer to something."""
    connection = h11.Connection(h11.CLIENT)
    offer = [("Host", "h11.invalid"), ("Connection", "upgrade"), ("Upgrade", "any")]
    connection.send(h11.Request(method="GET", target="/", headers=offer))
    event = _event(connection, head)
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        return None
    return Response(event.status_code, text(event.http_version), _listed(event.headers))


def _event(connection: h11.Connection, head: bytes) -> object:
    try:
        connection.receive_data(head)
        return connection.next_event()
    except h11.ProtocolError:
        return None


def _listed(headers: object) -> Headers:
    return [(bytes(name), bytes(value)) for name, value in headers]  # type: ignore[attr-defined]


_VERSION = re.compile(rb"HTTP/([0-9](?:\.[0-9])?)$")
_STATUS_LINE = re.compile(rb"HTTP/([0-9](?:\.[0-9])?)[ \t]+([0-9]{3})(?![0-9])")


def _loose_request(head: bytes) -> Request:
    line, fields = _loose_lines(head)
    words = line.split()
    version = _VERSION.search(words[-1]) if len(words) > 1 else None
    target = words[1:-1] if version else words[1:]
    return Request(text(words[0]), text(b" ".join(target)), text(version[1]) if version else "", fields)


def _loose_response(head: bytes) -> Response:
    line, fields = _loose_lines(head)
    match = _STATUS_LINE.search(line)
    return Response(int(match[2]), text(match[1]), fields) if match else Response(0, "", fields)


def _loose_lines(head: bytes) -> tuple[bytes, Headers]:
    first, *rest = head.strip().split(b"\n")
    pairs = (line.partition(b":") for line in rest if b":" in line)
    return first.strip(), [(name.strip().lower(), value.strip()) for name, _, value in pairs]
