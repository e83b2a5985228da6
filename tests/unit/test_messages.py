"""Heads: the fast way is h11's way on all it accepts, and nothing that a program sends makes the parser fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbinder.messages import (
    Request,
    Response,
    header,
    ordinary_request,
    ordinary_response,
    parse_request,
    parse_response,
    strict_request,
    strict_response,
)

# Pieces near what is legal: most heads made of them are accepted by somebody, many by one side only.
METHODS = st.sampled_from([b"GET", b"POST", b"get", b"BREW-1", b"M!", b"G ET", b"", b"\xc3\xa4"])
TARGETS = st.sampled_from([b"/", b"/a?b=c&d", b"*", b"http://u@h/p", b"h:1", b"/\xc3\xa4", b"/a b", b"", b"/\x7f"])
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1", b"HTTP/11", b""])
HONEST = [b"Host", b"host", b"Accept", b"X-A_1", b"Content-Length", b"content-length", b"Transfer-Encoding", b"Upgrade"]
NAMES = st.sampled_from([*HONEST, b"Connection", b"", b"A B", b" folded", b"\xe4", b"Host "])
VALUES = st.one_of(
    st.sampled_from([b"", b"a", b"5", b"5, 5", b"4,5", b"+5", b"chunked", b"Chunked", b"gzip", b"upgrade", b"9" * 21]),
    st.sampled_from([b"  a \t b  ", b"\xc3\xa4", b"\x01", b"a\x7f", b"a\rb", b"\x85", b"\xa0 x", b"shop:80"]),
    st.binary(max_size=6),
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])
LINES = st.lists(st.tuples(NAMES, st.sampled_from([b":", b": ", b""]), VALUES, ENDS).map(b"".join), max_size=5)
STATUSES = st.sampled_from([b"200", b"204", b"101", b"100", b"304", b"599", b"999", b"20", b"2000", b"abc"])
REASONS = st.sampled_from([b" OK", b"", b" ", b" not found", b" \xe4", b" \x01"])

REQUESTS = st.builds(
    lambda method, target, version, end, lines: b" ".join((method, target, version)) + end + b"".join(lines) + b"\r\n",
    METHODS, TARGETS, VERSIONS, ENDS, LINES,
)  # fmt: skip
RESPONSES = st.builds(
    lambda version, status, reason, end, lines: version + b" " + status + reason + end + b"".join(lines) + b"\r\n",
    VERSIONS, STATUSES, REASONS, ENDS, LINES,
)  # fmt: skip


# The same with one thing odd at most: all else is as most programs send it, so that much of it is ordinary.
PLAIN = st.tuples(st.sampled_from([b"Accept", b"X-A_1", b"User-Agent"]), st.just(b": "), st.sampled_from([b"a", b""]))
TRICKY = st.tuples(st.sampled_from(HONEST), st.just(b":"), VALUES)
PLAIN_LINES = st.lists(st.one_of(PLAIN, TRICKY).map(b"".join), max_size=4)
NEARLY = PLAIN_LINES.map(lambda lines: b"".join(line + b"\r\n" for line in lines) + b"\r\n")
NEAR_REQUESTS = st.one_of(
    NEARLY.map(lambda rest: b"GET /a?b=c HTTP/1.1\r\n" + rest),
    st.builds(lambda method, target: method + b" " + target + b" HTTP/1.0\r\nHost: a\r\n\r\n", METHODS, TARGETS),
)
NEAR_RESPONSES = st.one_of(
    NEARLY.map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest),
    st.builds(lambda status, reason: b"HTTP/1.0 " + status + reason + b"\r\n\r\n", STATUSES, REASONS),
)


@given(st.one_of(NEAR_REQUESTS, REQUESTS))
def test_an_ordinary_request_is_what_h11_reads(head: bytes) -> None:
    fast = ordinary_request(head)
    assert fast is None or fast == strict_request(head)


@given(st.one_of(NEAR_RESPONSES, RESPONSES))
def test_an_ordinary_response_is_what_h11_reads(head: bytes) -> None:
    fast = ordinary_response(head)
    assert fast is None or fast == strict_response(head)


@given(st.one_of(REQUESTS, RESPONSES, st.binary(max_size=60)))
def test_anything_gives_a_message(head: bytes) -> None:
    request, response = parse_request(head), parse_response(head)
    assert (request is None) == (response is None) == (not head.strip())


ORDINARY = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"POST /a?b HTTP/1.0\r\nContent-Length: 5\r\nX: \xc3\xa4 b\r\n\r\n",
    b"PUT * HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: [::1]:80\r\n\r\n",
]


@pytest.mark.parametrize("head", ORDINARY)
def test_ordinary_heads_take_the_fast_way(head: bytes) -> None:
    assert ordinary_request(head) is not None
    assert ordinary_response(b"HTTP/1.1 200 OK\r\n" + head.partition(b"\n")[2]) is not None


def test_a_request_in_full() -> None:
    head = b"POST /cart?id=3 HTTP/1.1\r\nHost: shop\r\nUser-Agent:  a b \r\n\r\n"
    fields = [(b"host", b"shop"), (b"user-agent", b"a b")]
    assert parse_request(head) == Request("POST", "/cart?id=3", "1.1", fields)


ODD_REQUESTS = [
    (b"GET / HTTP/1.1\nHost: a\n\n", Request("GET", "/", "1.1", [(b"host", b"a")])),  # bare LF
    (b"GET / HTTP/1.1\r\nHost: a\r\n", Request("GET", "/", "1.1", [(b"host", b"a")])),  # cut at a line's end
    (b"GET / HTTP/1.1", Request("GET", "/", "1.1")),
    (b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n", Request("GET", "/ä", "1.1")),  # raw UTF-8, as curl sends it
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Request("GET", "/a b", "1.1", [(b"host", b"a")])),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Request("GET", "/", "1.1", [(b"host", b"a"), (b"host", b"b")])),
    (b"GET /\r\n\r\n", Request("GET", "/", "")),  # HTTP/0.9
    (b"GET\r\n\r\n", Request("GET", "", "")),
    (b"GET / HTTP/1.1\r\nbad line\r\nA: b\r\n\r\n", Request("GET", "/", "1.1", [(b"a", b"b")])),
]


@pytest.mark.parametrize(("head", "expected"), ODD_REQUESTS)
def test_odd_requests_are_read_as_far_as_possible(head: bytes, expected: Request) -> None:
    assert parse_request(head) == expected


ODD_RESPONSES = [
    (b"HTTP/1.1 200\r\n\r\n", Response(200, "1.1")),
    (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n\r\n", Response(101, "1.1", [(b"upgrade", b"a")])),
    (b"HTTP/1.1 200 OK\n\n", Response(200, "1.1")),
    (b"HTTP/1.1  404  Not Found\r\n\r\n", Response(404, "1.1")),
    (b"HTTP/2 204\r\n\r\n", Response(204, "2")),
    (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Response(200, "1.1", [(b"content-length", b"x")])),
    (b"ICY 200 OK\r\n\r\n", Response(0, "")),
]


@pytest.mark.parametrize(("head", "expected"), ODD_RESPONSES)
def test_odd_responses_are_read_as_far_as_possible(head: bytes, expected: Response) -> None:
    assert parse_response(head) == expected


def test_an_empty_head_is_no_message() -> None:
    assert parse_request(b"") is parse_response(b"") is None


def test_header_is_the_first_of_its_name() -> None:
    fields = [(b"a", b"1"), (b"b", b"2"), (b"b", b"3")]
    assert (header(fields, b"b"), header(fields, b"c")) == ("2", "")
