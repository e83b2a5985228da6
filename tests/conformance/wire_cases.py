"""Byte streams of HTTP/1 in one direction and what a scanner must see in them: plain data, for every implementation.

Two marks stand in the bytes and are no part of them: PLACE where a header line can be inserted (before a head's blank
line), END where a message is complete. `heads` tells each head in order, (method, target) or a status. With `opaque`
the stream ends with hands off; at which byte depends on how it is cut. With `eof` the direction is then shut down.
`methods` are the requests whose responses are awaited. `large` streams are not to be cut at every place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

PLACE, END = b"<+>", b"<.>"


@dataclass(frozen=True)
class Case:
    name: str
    direction: Literal["request", "response"]
    marked: bytes
    heads: tuple[object, ...]
    opaque: bool = False
    eof: bool = False
    methods: tuple[bytes, ...] = field(default=(b"GET",))
    large: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def wire(self) -> bytes:
        """The bytes without the marks."""
        return self.marked.replace(PLACE, b"").replace(END, b"")

    @property
    def expected(self) -> list[tuple[object, ...]]:
        """("head", what `heads` says, offset of its blank line), ("end", offset) and ("opaque",) in order."""
        found: list[tuple[object, ...]] = []
        heads, offset = iter(self.heads), 0
        for part in re.split(rb"(<\+>|<\.>)", self.marked):
            if part == PLACE:
                found.append(("head", next(heads), offset))
            elif part == END:
                found.append(("end", offset))
            else:
                offset += len(part)
        return [*found, ("opaque",)] if self.opaque else found


def _request(
    name: str, marked: bytes, *heads: tuple[bytes, bytes], opaque: bool = False, eof: bool = False, large: bool = False
) -> Case:
    return Case("request: " + name, "request", marked, heads, opaque, eof, large=large)


def _response(
    name: str,
    marked: bytes,
    *heads: int,
    methods: tuple[bytes, ...] = (b"GET",),
    opaque: bool = False,
    eof: bool = False,
    large: bool = False,
) -> Case:
    return Case("response: " + name, "response", marked, heads, opaque, eof, methods, large)


GET, POST = (b"GET", b"/"), (b"POST", b"/")
_FILLER = b"".join(b"X-Filler-%d: %s\r\n" % (number, b"v" * 90) for number in range(1000))
_LONG_COOKIE = b"Cookie: " + b"c" * 150_000 + b"\r\n"

REQUESTS = [
    _request("simplest", b"GET / HTTP/1.1\r\n<+>\r\n<.>", GET),
    _request("with headers", b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n<+>\r\n<.>", (b"GET", b"/a?b=c")),
    _request("HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\n<+>\r\n<.>", GET),
    _request("keep-alive", b"GET / HTTP/1.1\r\n<+>\r\n<.>POST / HTTP/1.1\r\n<+>\r\n<.>", GET, POST),
    _request(
        "pipelined, with bodies",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\n<+>\r\nab<.>GET / HTTP/1.1\r\nHost: b\r\n<+>\r\n<.>"
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n<+>\r\n1\r\nx\r\n0\r\n\r\n<.>GET / HTTP/1.1\r\n<+>\r\n<.>",
        POST,
        GET,
        POST,
        GET,
    ),
    _request("content-length", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n<+>\r\nhello<.>", POST),
    _request("content-length 0", b"POST / HTTP/1.1\r\ncontent-length:0\r\n<+>\r\n<.>", POST),
    _request("content-length with zeros", b"POST / HTTP/1.1\r\nContent-Length: 0003\r\n<+>\r\nabc<.>", POST),
    _request("content-length in any case", b"POST / HTTP/1.1\r\ncOnTeNt-LeNgTh: \t3 \t\r\n<+>\r\nabc<.>", POST),
    _request(
        "equal content-lengths",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3, 3\r\n<+>\r\nabc<.>",
        POST,
    ),
    _request(
        "differing content-lengths",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        opaque=True,
    ),
    _request("content-length no number", b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", opaque=True),
    _request(
        "content-length too large", b"POST / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n\r\nabc", opaque=True
    ),
    _request("content-length empty", b"POST / HTTP/1.1\r\nContent-Length: \r\n\r\nabc", opaque=True),
    _request(
        "body that looks like a request",
        b"POST / HTTP/1.1\r\nContent-Length: 27\r\n<+>\r\nGET /fake HTTP/1.1\r\nA: b\r\n\r<.>\n"
        b"GET / HTTP/1.1\r\n<+>\r\n<.>",
        POST,
        GET,
    ),
    _request(
        "chunk that looks like a request",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n<+>\r\n16\r\nGET /fake HTTP/1.1\r\n\r\n\r\n0\r\n\r\n<.>",
        POST,
    ),
    _request(
        "chunked",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n<+>\r\n3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n<.>",
        POST,
    ),
    _request(
        "chunk extensions and trailers",
        b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n<+>\r\n3;a=b\r\nabc\r\n2 ; c="d;e"\r\nxy\r\n'
        b"000;last\r\nTrailer-One: 1\r\nTrailer-Two:\r\n\r\n<.>GET / HTTP/1.1\r\n<+>\r\n<.>",
        POST,
        GET,
    ),
    _request(
        "chunk sizes of many digits, long extension",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n<+>\r\n000000000000003;"
        + b"e" * 200
        + b"\r\nabc\r\n0\r\n\r\n<.>",
        POST,
    ),
    _request("chunked with bare LF", b"POST / HTTP/1.1\nTransfer-Encoding: chunked\n<+>\n3\nabc\n0\nT: 1\n\n<.>", POST),
    _request(
        "chunked after another coding",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: , Chunked\r\n<+>\r\n0\r\n\r\n<.>",
        POST,
    ),
    _request(
        "chunked wins over content-length",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n<+>\r\n1\r\nx\r\n0\r\n\r\n<.>",
        POST,
    ),
    _request("chunked is not last", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", opaque=True),
    _request("chunked twice", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", opaque=True),
    _request("chunked in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", opaque=True),
    _request(
        "chunk size no number", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n<+>\r\nxyz\r\n", POST, opaque=True
    ),
    _request(
        "chunk size of too many digits",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n<+>\r\n1234567890123456\r\n",
        POST,
        opaque=True,
    ),
    _request(
        "chunk without its line end",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n<+>\r\n1\r\nabc\r\n0\r\n\r\n",
        POST,
        opaque=True,
    ),
    _request("chunked, incomplete", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n<+>\r\n5\r\nab", POST, eof=True),
    _request(
        "expect: 100-continue",
        b"PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n<+>\r\nab<.>",
        (b"PUT", b"/x"),
    ),
    _request("bare LF", b"GET / HTTP/1.1\nHost: a\n<+>\n<.>", GET),
    _request("mixed line ends, CRLF last", b"GET / HTTP/1.1\nHost: a\r\nB: c\n<+>\r\n<.>", GET),
    _request(
        "mixed line ends, LF last", b"GET / HTTP/1.1\r\nHost: a\r\n<+>\n<.>GET / HTTP/1.1\r\n<+>\r\n<.>", GET, GET
    ),
    _request("empty lines first", b"\r\n\r\n\nGET / HTTP/1.1\r\n<+>\r\n<.>\r\nGET / HTTP/1.1\r\n<+>\r\n<.>", GET, GET),
    _request("bare LF, then CRLF", b"GET / HTTP/1.1\nA: b\n<+>\n<.>\r\nGET / HTTP/1.1\r\n<+>\r\n<.>", GET, GET),
    _request("only empty lines", b"\r\n\r\n\r\n", eof=True),
    _request("obs-fold", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n  c\r\n\td\r\n<+>\r\n<.>", GET),
    _request("obs-fold in content-length", b"POST / HTTP/1.1\r\nContent-Length:\r\n 3\r\n<+>\r\nabc<.>", POST),
    _request("fold in the start line", b"GET\r\n / HTTP/1.1\r\nHost: a\r\n\r\n", opaque=True),
    _request("fold after the start line", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", opaque=True),
    _request("asterisk-form", b"OPTIONS * HTTP/1.1\r\n<+>\r\n<.>", (b"OPTIONS", b"*")),
    _request("absolute-form", b"GET http://a:1/b?c HTTP/1.1\r\n<+>\r\n<.>", (b"GET", b"http://a:1/b?c")),
    _request("any token as method", b"!#$%&'*+-.^_`|~09Az / HTTP/1.1\r\n<+>\r\n<.>", (b"!#$%&'*+-.^_`|~09Az", b"/")),
    _request("raw UTF-8 in the target", b"GET /\xc3\xa9 HTTP/1.1\r\n<+>\r\n<.>", (b"GET", b"/\xc3\xa9")),
    _request("odd bytes in a value", b"GET / HTTP/1.1\r\nX: \x01\xff\x7f:;\r\nY:\r\n<+>\r\n<.>", GET),
    _request(
        "CONNECT",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n<+>\r\n<.>\x16\x03\x01\r\n\r\n",
        (b"CONNECT", b"a:443"),
        opaque=True,
    ),
    _request(
        "upgrade offered",
        b"GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n<+>\r\n<.>"
        b"GET / HTTP/1.1\r\n<+>\r\n<.>",
        GET,
        GET,
    ),
    _request("head incomplete", b"GET / HTTP/1.1\r\nHost: a\r\n", eof=True),
    _request("counted body incomplete", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n<+>\r\nabc", POST, eof=True),
    _request("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", opaque=True),
    _request("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", opaque=True),
    _request("HTTP/0.9", b"GET /\r\n", opaque=True),
    _request("HTTP/1.2", b"GET / HTTP/1.2\r\n\r\n", opaque=True),
    _request("binary", b"\0\1\2\3\r\n\r\n", opaque=True),
    _request("binary behind a letter", b"G\0\1\2", opaque=True),
    _request("redis", b"*1\r\n$4\r\nPING\r\n", opaque=True),
    _request("smtp", b"EHLO example.org\r\n", opaque=True),
    _request("a method without end", b"A" * 65, opaque=True),
    _request("two spaces", b"GET  / HTTP/1.1\r\n\r\n", opaque=True),
    _request("tab for a space", b"GET\t/ HTTP/1.1\r\n\r\n", opaque=True),
    _request("space in the target", b"GET /a b HTTP/1.1\r\n\r\n", opaque=True),
    _request("line without colon", b"GET / HTTP/1.1\r\nHost\r\n\r\n", opaque=True),
    _request("space before the colon", b"GET / HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc", opaque=True),
    _request("NUL in a value", b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", opaque=True),
    _request("CR in a value", b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", opaque=True),
    _request("garbage after a request", b"GET / HTTP/1.1\r\n<+>\r\n<.>\x80\x81", GET, opaque=True),
    _request(
        "head of 100 kB",
        b"GET / HTTP/1.1\r\n" + _FILLER + b"<+>\r\n<.>GET / HTTP/1.1\r\n<+>\r\n<.>",
        GET,
        GET,
        large=True,
    ),
    _request(
        "length behind 100 kB",
        b"POST / HTTP/1.1\r\n"
        + _FILLER
        + b"content-length: 3\r\n"
        + _FILLER
        + b"<+>\r\nabc<.>GET / HTTP/1.1\r\n<+>\r\n<.>",
        POST,
        GET,
        large=True,
    ),
    _request(
        "one line of 150 kB", b"POST / HTTP/1.1\r\n" + _LONG_COOKIE + b"Content-Length: 1\n<+>\nx<.>", POST, large=True
    ),
    _request(
        "malformed behind 100 kB", b"POST / HTTP/1.1\r\n" + _FILLER + b"no colon\r\n\r\n", opaque=True, large=True
    ),
    _request("target of 100 kB", b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", opaque=True, large=True),
]

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n<+>\r\nok<.>"
_BARE = b"HTTP/1.1 204 No Content\r\n<+>\r\n<.>"

RESPONSES = [
    _response("content-length", _OK, 200),
    _response(
        "chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n<+>\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n<.>", 200
    ),
    _response("keep-alive", _OK + _BARE + _OK, 200, 204, 200, methods=(b"GET",) * 3),
    _response(
        "to HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n<+>\r\n<.>" + _OK, 200, 200, methods=(b"HEAD", b"GET")
    ),
    _response(
        "chunked to HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n<+>\r\n<.>", 200, methods=(b"HEAD",)
    ),
    _response(
        "304 with a length",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n<+>\r\n<.>" + _OK,
        304,
        200,
        methods=(b"GET",) * 2,
    ),
    _response("204 with chunked", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n<+>\r\n<.>", 204),
    _response("no reason", b"HTTP/1.1 200\r\nContent-Length: 0\r\n<+>\r\n<.>", 200),
    _response("empty reason", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n<+>\r\n<.>", 200),
    _response("odd reason", b"HTTP/1.1 599 \xe9t\xe9 : 1\r\nContent-Length: 0\r\n<+>\r\n<.>", 599),
    _response("100 continue", b"HTTP/1.1 100 Continue\r\n<+>\r\n" + _OK, 100, 200, methods=(b"POST",)),
    _response(
        "several interim ones",
        b"HTTP/1.1 102 Processing\r\n<+>\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 7\r\n<+>\r\n"
        + _OK
        + _BARE,
        102,
        103,
        200,
        204,
        methods=(b"GET", b"GET"),
    ),
    _response(
        "101", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n<+>\r\n<.>\x81\x05hello", 101, opaque=True
    ),
    _response(
        "CONNECT accepted",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n<+>\r\n<.>\x16\x03\x03",
        200,
        methods=(b"CONNECT",),
        opaque=True,
    ),
    _response(
        "CONNECT refused",
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n<+>\r\nno<.>" + _OK,
        407,
        200,
        methods=(b"CONNECT", b"GET"),
    ),
    _response("upgrade declined", b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nContent-Length: 0\r\n<+>\r\n<.>", 200),
    _response("close-delimited", b"HTTP/1.1 200 OK\r\n<+>\r\nHTTP/1.1 200 OK\r\n\r\n<.>", 200, eof=True),
    _response("close-delimited, empty", b"HTTP/1.0 200 OK\r\n<+>\r\n<.>", 200, eof=True),
    _response(
        "close-delimited coding",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n<+>\r\nabc<.>",
        200,
        eof=True,
    ),
    _response("HTTP/1.0 with length", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n<+>\r\nok<.>", 200),
    _response("counted, cut off", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n<+>\r\nok", 200, eof=True),
    _response(
        "chunked, cut off", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n<+>\r\n2\r\nok\r\n0\r\n", 200, eof=True
    ),
    _response("head cut off", b"HTTP/1.1 200 OK\r\nContent-", eof=True),
    _response("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 2\n<+>\nok<.>", 200),
    _response("obs-fold", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n<+>\r\nok<.>", 200),
    _response("fold in the status line", b"HTTP/1.1\r\n 200 OK\r\n\r\n", opaque=True),
    _response("folded reason", b"HTTP/1.1 204 No\r\n Content\r\nA: b\r\n<+>\r\n<.>", 204),
    _response(
        "body that looks like a response",
        b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n<+>\r\nHTTP/1.1 200 OK\r\n\r\n<.>",
        200,
    ),
    _response("nobody asked", b"HTTP/1.1 408 Request Timeout\r\n\r\n", methods=()),
    _response("more than was asked for", _OK + b"HTTP/1.1 408 Request Timeout\r\n\r\n", 200),
    _response("differing content-lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nx", opaque=True),
    _response("HTTP/2", b"\0\0\x12\4\0\0\0\0\0", opaque=True),
    _response("a banner", b"220 mail.example.org ESMTP\r\n", opaque=True),
    _response("status of two digits", b"HTTP/1.1 20 OK\r\n\r\n", opaque=True),
    _response("status of four digits", b"HTTP/1.1 2000 OK\r\n\r\n", opaque=True),
    _response("status 099", b"HTTP/1.1 099 OK\r\n\r\n", opaque=True),
    _response("HTTP/1.10", b"HTTP/1.10 200 OK\r\n\r\n", opaque=True),
    _response("TLS alert", b"\x15\x03\x01\0\2\2\x28", opaque=True),
    _response(
        "length behind 100 kB", b"HTTP/1.1 200 OK\r\n" + _FILLER + b"Content-Length: 2\r\n<+>\r\nok<.>", 200, large=True
    ),
]

CASES = REQUESTS + RESPONSES
