"""Reduced heads: parsable, bounded, and without secrets."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinder.http.heads import ALLOWED, redact_target, reduce_head

SECRET = b"s3cr3t"


def by_h11(head: bytes) -> h11.Request | h11.Response:
    if head.startswith(b"HTTP/"):
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
    else:
        connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    event = connection.next_event()
    assert isinstance(event, h11.Request | h11.Response)
    return event


def test_only_allowed_lines_are_kept_in_order() -> None:
    raw = (
        b"POST /a?b=c HTTP/1.1\r\nhost: x\r\nCookie: a=s3cr3t\r\nUser-Agent:  curl \r\nAuthorization: Basic s3cr3t\r\n"
        b"X-Api-Key: s3cr3t\r\nProxy-Authorization: s3cr3t\r\nContent-Length:3\r\nBaggage: s3cr3t=1\r\n"
        b"Tracestate: a=1\r\n\r\n"
    )
    assert reduce_head(raw, 16384) == (
        b"POST /a?b=c HTTP/1.1\r\nhost: x\r\nuser-agent: curl\r\ncontent-length: 3\r\n\r\n"
    )


def test_response() -> None:
    raw = b"HTTP/1.1 404 Not \x0bFound\nSet-Cookie: s3cr3t\nContent-Length: 0\nServer: x\n\n"
    assert reduce_head(raw, 100) == b"HTTP/1.1 404 Not  Found\r\ncontent-length: 0\r\n\r\n"
    assert isinstance(by_h11(reduce_head(raw, 100)), h11.Response)


def test_no_secret_name_is_allowed() -> None:
    assert not ALLOWED & {b"authorization", b"cookie", b"set-cookie", b"proxy-authorization", b"x-api-key", b"referer"}


@pytest.mark.parametrize(
    "line", [b"Host: a\r\n s3cr3t", b"Host: b\r\n\ts3cr3t\r\n  s3cr3t", b"Cookie: a\r\n Host: s3cr3t"]
)
def test_continued_lines_are_left_out(line: bytes) -> None:
    raw = b"GET / HTTP/1.1\r\n" + line + b"\r\nUser-Agent: x\r\n\r\n"
    assert reduce_head(raw, 1000) == b"GET / HTTP/1.1\r\nuser-agent: x\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "redacted"),
    [
        (b"/", b"/"),
        (b"*", b"*"),
        (b"/a@b?c@d", b"/a@b?c@d"),
        (b"http://user:s3cr3t@host/p?q", b"http://REDACTED:REDACTED@host/p?q"),
        (b"http://s3cr3t@host", b"http://REDACTED:REDACTED@host"),
        (b"http://u:s3cr3t@x@host:1/a@b", b"http://REDACTED:REDACTED@host:1/a@b"),
        (b"http://host/a@b", b"http://host/a@b"),
        (b"http://host?a@b", b"http://host?a@b"),
        (b"user:s3cr3t@host:443", b"REDACTED:REDACTED@host:443"),
        (b"/p?sig=s3cr3t", b"/p?sig=REDACTED"),
        (b"/p?a=b&Signature=s3cr3t&c=d", b"/p?a=b&Signature=REDACTED&c=d"),
        (
            b"/p?a=b;AWSAccessKeyId=s3cr3t;x&X-Goog-Signature=s3cr3t",
            b"/p?a=b;AWSAccessKeyId=REDACTED&X-Goog-Signature=REDACTED",
        ),
        (
            b"/p?X-Amz-Signature=s3cr3t&X-Amz-Security-Token=s3cr3t",
            b"/p?X-Amz-Signature=REDACTED&X-Amz-Security-Token=REDACTED",
        ),
        (b"/p?sig=&x", b"/p?sig=REDACTED&x"),
        (b"/p?SIG=a&signature=b&mysig=c", b"/p?SIG=a&signature=b&mysig=c"),
        (b"/sig=a?b", b"/sig=a?b"),
    ],
)
def test_targets_are_redacted(target: bytes, redacted: bytes) -> None:
    assert redact_target(target) == redacted
    assert reduce_head(b"GET " + target + b" HTTP/1.1\r\n\r\n", 16384) == b"GET " + redacted + b" HTTP/1.1\r\n\r\n"


def test_an_overlong_target_is_cut_after_redaction() -> None:
    raw = b"GET /" + b"x" * 40 + b"?sig=" + SECRET * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    for limit in range(64, 200):
        head = reduce_head(raw, limit)
        assert len(head) <= limit
        assert SECRET not in head
        assert head.endswith(b" HTTP/1.1\r\nhost: a\r\n\r\n" if limit > 100 else b"\r\n\r\n")


def test_cut_at_a_lines_end() -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: " + b"u" * 50 + b"\r\nContent-Length: 0\r\n\r\n"
    assert reduce_head(raw, 64) == b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def test_a_first_part_of_a_long_head_gets_its_blank_line() -> None:
    assert reduce_head(b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n", 100) == b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def test_host_keeps_no_user() -> None:
    assert reduce_head(b"GET / HTTP/1.1\r\nHost: u:s3cr3t@h:1\r\n\r\n", 100) == b"GET / HTTP/1.1\r\nhost: h:1\r\n\r\n"


def test_raw_bytes_in_a_target_are_escaped() -> None:
    head = reduce_head(b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 100)
    assert head.startswith(b"GET /%C3%A9 HTTP/1.1\r\n")
    assert isinstance(by_h11(head), h11.Request)


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(64, 400))
def test_any_bytes_are_survived(raw: bytes, limit: int) -> None:
    assert len(reduce_head(raw, limit)) <= limit


names = st.sampled_from([*sorted(ALLOWED - {b"host", b"transfer-encoding", b"content-length"}), b"Cookie", b"X-Other"])
values = st.binary(max_size=30).map(lambda text: text.translate(None, b"\r\n\0"))
targets = st.binary(min_size=1, max_size=60).map(
    lambda text: b"/" + bytes(byte for byte in text if byte > 0x20 and byte != 0x7F)
)


@settings(deadline=None)
@given(targets, st.lists(st.tuples(names, values), max_size=8), st.integers(64, 300))
def test_what_is_left_parses_and_stays_the_same(target: bytes, lines: list[tuple[bytes, bytes]], limit: int) -> None:
    raw = b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + b"".join(b"%s: %s\r\n" % line for line in lines) + b"\r\n"
    head = reduce_head(raw, limit)
    assert len(head) <= limit
    assert reduce_head(head, limit) == head
    if b"\r\nhost:" in head:
        event = by_h11(head)
        assert {key for key, _ in event.headers} <= ALLOWED
