"""The scanners against the table of wire cases: fed whole, byte by byte, cut in two anywhere, and with more behind."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from conformance.wire_cases import CASES, REQUESTS, RESPONSES, Case

from rbinder.http.framing import KEPT, UNLIMITED
from rbinder.http.scanner import MAX_OUTSTANDING, End, Event, Head, Opaque, RequestScanner, ResponseScanner

AnyScanner = RequestScanner | ResponseScanner


def scanner_for(case: Case) -> AnyScanner:
    if case.direction == "request":
        return RequestScanner()
    scanner = ResponseScanner()
    for method in case.methods:
        scanner.expect(method)
    return scanner


def tell(events: list[Event], base: int) -> list[tuple[object, ...]]:
    """Events in the table's words, with offsets in the stream."""
    told: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, Head):
            what = (event.method, event.target) if event.kind == "request" else event.status
            told.append(("head", what, base + event.insert_at))
        elif isinstance(event, End):
            told.append(("end", base + event.at))
        else:
            told.append(("opaque",))
    return told


def scan(scanner: AnyScanner, pieces: Iterable[bytes], eof: bool = False) -> list[tuple[object, ...]]:
    told, base = [], 0
    for piece in pieces:
        told += tell(scanner.feed(piece), base)
        base += len(piece)
    return told + (tell(scanner.eof(), base) if eof else [])


def skipping(scanner: AnyScanner, data: bytes) -> list[tuple[object, ...]]:
    """Feed in steps of 3 bytes, but pass over what is skippable."""
    told, at = [], 0
    while at < len(data):
        step = min(scanner.skippable, len(data) - at)
        if step:
            told += tell(scanner.skip(step), at)
        else:
            step = min(3, len(data) - at)
            told += tell(scanner.feed(data[at : at + step]), at)
        at += step
    return told


@pytest.mark.parametrize("case", CASES, ids=str)
def test_whole(case: Case) -> None:
    assert scan(scanner_for(case), [case.wire], case.eof) == case.expected


@pytest.mark.parametrize("case", CASES, ids=str)
def test_byte_by_byte(case: Case) -> None:
    wire = case.wire
    assert scan(scanner_for(case), (wire[at : at + 1] for at in range(len(wire))), case.eof) == case.expected


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cut_in_two(case: Case) -> None:
    wire = case.wire
    for at in range(0, len(wire), 7919 if case.large else 1):
        assert scan(scanner_for(case), [wire[:at], wire[at:]], case.eof) == case.expected, at


@pytest.mark.parametrize("case", [case for case in REQUESTS if not case.eof], ids=str)
def test_more_requests_behind(case: Case) -> None:
    more = scan(RequestScanner(), [case.wire + b"GET /more HTTP/1.1\r\n\r\nGET"])
    behind = [] if case.opaque else [("head", (b"GET", b"/more"), len(case.wire) + 20), ("end", len(case.wire) + 22)]
    assert more == case.expected + behind


@pytest.mark.parametrize("case", [case for case in RESPONSES if not case.eof and case.methods], ids=str)
def test_more_responses_behind(case: Case) -> None:
    scanner = scanner_for(case)
    told = scan(scanner, [case.wire])
    assert isinstance(scanner, ResponseScanner)
    scanner.expect(b"HEAD")
    told += scan(scanner, [b"HTTP/1.1 202 Accepted\r\n\r\nX"])
    assert told == case.expected + ([] if case.opaque else [("head", 202, 23), ("end", 25)])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_skipping_bodies_tells_the_same(case: Case) -> None:
    assert skipping(scanner_for(case), case.wire) == scan(scanner_for(case), [case.wire])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_copy_is_independent_and_equal(case: Case) -> None:
    wire = case.wire
    for at in range(0, len(wire), 7919 if case.large else 5):
        scanner = scanner_for(case)
        before = scan(scanner, [wire[:at]])
        trial = scan(scanner.copy(), [wire[at:]])
        assert scan(scanner, [wire[at:]]) == trial, at
        if not case.eof:
            assert len(before) + len(trial) == len(case.expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_after_eof_nothing_is_said(case: Case) -> None:
    scanner = scanner_for(case)
    scan(scanner, [case.wire], eof=True)
    assert scanner.opaque
    assert scanner.feed(b"GET / HTTP/1.1\r\n\r\n") == scanner.eof() == []


@pytest.mark.parametrize("case", [case for case in CASES if not case.large], ids=str)
def test_a_head_carries_its_own_bytes(case: Case) -> None:
    """`raw` is what stands in the stream, however it was cut."""
    wire = case.wire
    whole = [event.raw for event in scanner_for(case).feed(wire) if isinstance(event, Head)]
    scanner = scanner_for(case)
    pieces = [event for at in range(len(wire)) for event in scanner.feed(wire[at : at + 1])]
    assert [event.raw for event in pieces if isinstance(event, Head)] == whole
    assert all(raw in wire and raw.endswith((b"\n\n", b"\n\r\n")) for raw in whole)


def test_body_sizes_count_the_framing() -> None:
    scanner = RequestScanner()
    body = b"3;x\r\nabc\r\n0\r\nT: 1\r\n\r\n"
    assert scanner.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body)[-1] == End(
        47 + len(body), len(body)
    )
    for piece in (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", b"cd"):
        assert not any(isinstance(event, End) for event in scanner.feed(piece))
    assert scanner.feed(b"e") == [End(1, 5)]


def test_the_blank_line_is_reported_at_its_carriage_return() -> None:
    scanner = RequestScanner()
    assert scanner.feed(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n") == []
    (head,) = scanner.feed(b"\r")
    assert isinstance(head, Head)
    assert (head.insert_at, head.at, head.newline) == (0, 1, b"\r\n")
    assert head.raw == b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n"
    assert not scanner.idle
    assert scanner.feed(b"\nx") == [End(2, 1)]
    assert scanner.idle


@pytest.mark.parametrize("split", [True, False])
def test_a_lone_carriage_return_ends_the_understanding(split: bool) -> None:
    """Known at once, no head is reported; known too late, nothing else is."""
    scanner = RequestScanner()
    head, rest = b"GET / HTTP/1.1\r\nHost: a\r\n\r", b"X-More: b\r\n\r\n"
    events = [*scanner.feed(head), *scanner.feed(rest)] if split else scanner.feed(head + rest)
    assert [type(event) for event in events] == ([Head, Opaque] if split else [Opaque])
    assert scanner.opaque


def test_what_a_head_tells() -> None:
    scanner = RequestScanner()
    (head, _) = scanner.feed(
        b"GET /a HTTP/1.0\nHoSt:  a \t\nX-Fold: b\n\t c\nEmpty:\n"
        b"Connection: Keep-Alive, Upgrade\nUpgrade: WebSocket\n\n"
    )
    assert isinstance(head, Head)
    assert head.headers == [
        (b"host", b"a"),
        (b"x-fold", b"b c"),
        (b"empty", b""),
        (b"connection", b"Keep-Alive, Upgrade"),
        (b"upgrade", b"WebSocket"),
    ]
    assert (head.version, head.newline, head.upgrade, head.ends_connection) == (b"1.0", b"\n", b"websocket", False)
    assert head.headers is head.headers


@pytest.mark.parametrize(
    ("head", "ends"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
    ],
)
def test_a_response_tells_whether_it_is_the_last(head: bytes, ends: bool) -> None:
    scanner = ResponseScanner()
    scanner.expect(b"GET")
    event = scanner.feed(head)[0]
    assert isinstance(event, Head)
    assert event.ends_connection is ends


def test_a_long_head_is_kept_in_part() -> None:
    large = [case for case in REQUESTS if case.large and not case.opaque]
    assert large
    for case in large:
        head = RequestScanner().feed(case.wire)[0]
        assert isinstance(head, Head)
        assert head.truncated
        assert len(head.raw) <= KEPT
        assert head.raw.endswith(b"\n")
        assert case.wire.startswith(head.raw)
        assert head.headers or case.wire.count(b"\n") < 5


def test_a_head_just_short_enough_is_whole() -> None:
    start, end = b"GET / HTTP/1.1\r\nX: ", b"\r\n"
    line = start + b"v" * (KEPT - len(start) - len(end)) + end
    for data, truncated in ((line + b"\r\n", False), (line[:-2] + b"v\r\n\r\n", True)):
        scanner = RequestScanner()
        events = [event for at in range(0, len(data), 500) for event in scanner.feed(data[at : at + 500])]
        assert isinstance(events[0], Head)
        assert events[0].truncated is truncated
        assert isinstance(events[1], End)


def test_skippable_and_idle() -> None:
    scanner = ResponseScanner()
    scanner.expect(b"GET")
    assert (scanner.skippable, scanner.idle) == (0, True)
    scanner.feed(b"\r\n")
    assert scanner.idle
    scanner.feed(b"H")
    assert (scanner.skippable, scanner.idle) == (0, False)
    scanner.feed(b"TTP/1.1 200 OK\r\n\r\nab")
    assert scanner.skippable > UNLIMITED // 2
    assert scanner.skip(1 << 40) == []
    assert scanner.eof() == [End(0, (1 << 40) + 2)]


def test_skipping_too_much_is_hands_off() -> None:
    scanner = RequestScanner()
    assert scanner.skip(1) == [Opaque(0)]
    assert scanner.opaque
    assert scanner.skip(1) == []


def test_give_up() -> None:
    scanner = RequestScanner()
    scanner.feed(b"GET / HT")
    scanner.give_up()
    assert scanner.opaque
    assert not scanner.idle
    assert scanner.feed(b"TP/1.1\r\n\r\n") == []


def test_a_refused_tunnel_goes_on() -> None:
    connect = b"CONNECT a:1 HTTP/1.1\r\n\r\n"
    scanner = RequestScanner()
    scanner.feed(connect)
    assert scanner.opaque
    scanner.resume()
    assert not scanner.opaque
    assert scan(scanner, [b"GET / HTTP/1.1\r\n\r\n"])[0] == ("head", (b"GET", b"/"), 16)
    scanner.feed(connect)
    assert scanner.feed(b"bytes for the tunnel") == []
    scanner.resume()
    assert scanner.opaque


def test_too_many_outstanding_requests() -> None:
    scanner = ResponseScanner()
    for _ in range(MAX_OUTSTANDING):
        scanner.expect(b"GET")
    assert not scanner.opaque
    scanner.expect(b"GET")
    assert scanner.opaque
    scanner.expect(b"GET")
    assert scanner.feed(b"HTTP/1.1 200 OK\r\n\r\n") == []
