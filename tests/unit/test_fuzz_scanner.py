"""The scanners against h11 on generated conversations, cut at random, and against bytes that are no HTTP at all."""

from __future__ import annotations

import h11
from conformance.wire_cases import CASES
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinder.http.framing import KEPT
from rbinder.http.scanner import End, Event, Head, Opaque, RequestScanner, ResponseScanner

fuzzed = settings(deadline=None)  # the machine may be busy

TOKEN = b"!#$%&'*+-.^_`|~09azAZ"
token = st.lists(st.sampled_from([bytes([byte]) for byte in TOKEN]), min_size=1, max_size=12).map(b"".join)
name = token.map(lambda text: b"X-" + text)
value = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f\x85\xa0"), max_size=20
).map(lambda text: text.encode("latin-1").strip(b" "))
target = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20).map(str.encode)
newline = st.sampled_from([b"\r\n", b"\r\n", b"\n"])
fields = st.lists(st.tuples(name, value), max_size=4)
method = st.one_of(st.sampled_from([b"GET", b"HEAD", b"POST", b"OPTIONS"]), token).filter(
    lambda text: text != b"CONNECT"
)
status = st.one_of(st.sampled_from([200, 204, 304, 404]), st.integers(200, 599))


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` as a chunked body with extensions and trailers."""
    body, at = b"", 0
    while at < len(data):
        size = draw(st.integers(1, len(data) - at))
        extension = draw(st.sampled_from([b"", b";a=b", b';c="d;e"']))
        body += b"%x%s\r\n%s\r\n" % (size, extension, data[at : at + size])
        at += size
    trailers = b"".join(b"%s: %s\r\n" % pair for pair in draw(fields))
    return body + b"0" * draw(st.integers(1, 3)) + b"\r\n" + trailers + b"\r\n"


@st.composite
def message(draw: st.DrawFn, start: bytes, bodiless: bool, optional: bool) -> tuple[bytes, int]:
    """The bytes of a message that begins with `start`, and the size of its body on the wire.

    `bodiless`: it has no body whatever its head says; `optional`: without a length it has none.
    """
    end = draw(newline)
    lines = [(b"Host", b"a"), *draw(fields)]
    data = draw(st.binary(max_size=40) | st.sampled_from([b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]))
    kinds = ["counted", "chunked", "none"] if optional or bodiless else ["counted", "chunked"]
    kind = draw(st.sampled_from(kinds))
    body = b""
    if kind == "counted":
        lines.append((draw(st.sampled_from([b"Content-Length", b"content-length"])), b"%d" % len(data)))
        body = data
    elif kind == "chunked":
        lines.append((b"Transfer-Encoding", draw(st.sampled_from([b"chunked", b"Chunked"]))))
        body = draw(chunked(data))
    lines = draw(st.permutations(lines))
    space = draw(st.sampled_from([b"", b" ", b" \t"]))
    head = start + end + b"".join(key + b":" + space + text + end for key, text in lines) + end
    return (head, 0) if bodiless else (head + body, len(body))


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    starts = draw(st.lists(st.tuples(method, target), min_size=1, max_size=4))
    parts = [draw(message(b"%s %s HTTP/1.1" % start, False, True)) for start in starts]
    return b"".join(part for part, _ in parts), [size for _, size in parts]


@st.composite
def responses(draw: st.DrawFn) -> tuple[list[bytes], bytes, list[int]]:
    methods = draw(st.lists(method, min_size=1, max_size=4))
    wire, sizes = b"", []
    for asked in methods:
        for interim in draw(st.lists(st.sampled_from([100, 103]), max_size=2)):
            wire += b"HTTP/1.1 %d Go on\r\nX: y\r\n\r\n" % interim
        code = draw(status)
        part, size = draw(message(b"HTTP/1.1 %d Reason" % code, asked == b"HEAD" or code in (204, 304), False))
        wire += part
        sizes.append(size)
    return methods, wire, sizes


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]


def scan(scanner: RequestScanner | ResponseScanner, pieces: list[bytes]) -> list[tuple[object, ...]]:
    """Heads and ends with their offsets in the stream."""
    told: list[tuple[object, ...]] = []
    base = 0
    for piece in pieces:
        for event in scanner.feed(piece):
            if isinstance(event, Head):
                headers = [pair for pair in event.headers if pair[0] != b"transfer-encoding"]
                told.append(("head", event.method, event.target, event.status, headers, base + event.insert_at))
            elif isinstance(event, End):
                told.append(("end", base + event.at, event.body_size))
            else:
                told.append(("opaque",))
        base += len(piece)
    return told


def by_h11(connection: h11.Connection, wire: bytes, methods: list[bytes] | None) -> list[tuple[object, ...]]:
    """The heads h11 finds, without offsets: as a server, or as a client that sent requests with `methods`."""
    found: list[tuple[object, ...]] = []
    asked = iter(methods or [])
    if methods:
        ask(connection, next(asked))
    connection.receive_data(wire)
    while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        if isinstance(event, h11.Request):
            found.append((event.method, event.target, 0, told_headers(event)))
        elif isinstance(event, h11.Response | h11.InformationalResponse):
            found.append((b"", b"", event.status_code, told_headers(event)))
        elif isinstance(event, h11.EndOfMessage):
            if methods is None:
                connection.send(h11.Response(status_code=204, headers=[]))
                connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
            following = next(asked, None)
            if following:
                ask(connection, following)
    return found


def told_headers(event: h11.Request | h11.Response | h11.InformationalResponse) -> list[tuple[bytes, bytes]]:
    """Without transfer-encoding, whose value h11 rewrites."""
    return [(key, text) for key, text in event.headers if key != b"transfer-encoding"]


def ask(connection: h11.Connection, verb: bytes) -> None:
    connection.send(h11.Request(method=verb, target=b"/", headers=[(b"Host", b"a")]))
    connection.send(h11.EndOfMessage())


def heads_of(told: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return [item[1:5] for item in told if item[0] == "head"]


cuts = st.lists(st.integers(0, 1 << 20), max_size=12)


@fuzzed
@given(requests(), cuts)
def test_requests_equal_h11_however_cut(stream: tuple[bytes, list[int]], places: list[int]) -> None:
    wire, sizes = stream
    told = scan(RequestScanner(), [wire])
    assert heads_of(told) == by_h11(h11.Connection(h11.SERVER), wire, None)
    assert [item[2] for item in told if item[0] == "end"] == sizes
    assert scan(RequestScanner(), pieces_of(wire, places)) == told


@fuzzed
@given(responses(), cuts)
def test_responses_equal_h11_however_cut(stream: tuple[list[bytes], bytes, list[int]], places: list[int]) -> None:
    methods, wire, sizes = stream
    scanners = ResponseScanner(), ResponseScanner()
    for scanner in scanners:
        for asked in methods:
            scanner.expect(asked)
    told = scan(scanners[0], [wire])
    assert heads_of(told) == by_h11(h11.Connection(h11.CLIENT), wire, methods)
    assert [item[2] for item in told if item[0] == "end"] == sizes
    assert scan(scanners[1], pieces_of(wire, places)) == told


@fuzzed
@given(requests(), cuts)
def test_an_inserted_line_is_one_more_header(stream: tuple[bytes, list[int]], places: list[int]) -> None:
    """h11 reads the same conversation with exactly the inserted header added to every head."""
    wire, _ = stream
    scanner, changed = RequestScanner(), b""
    for piece in pieces_of(wire, places):
        done = 0
        for event in scanner.feed(piece):
            if isinstance(event, Head):
                changed += piece[done : event.insert_at] + b"Inserted: line" + event.newline
                done = event.insert_at
        changed += piece[done:]
    before = by_h11(h11.Connection(h11.SERVER), wire, None)
    after = by_h11(h11.Connection(h11.SERVER), changed, None)
    assert after == [(*item[:3], [*item[3], (b"inserted", b"line")]) for item in before]  # type: ignore[misc]


def held(scanner: RequestScanner | ResponseScanner) -> int:
    """Bytes the scanner holds on to."""
    long = scanner._long
    return len(scanner._held) + (len(long.raw) + sum(len(text) for pair in long.fields for text in pair) if long else 0)


def check_sane(scanner: RequestScanner | ResponseScanner, pieces: list[bytes]) -> None:
    over = False
    for piece in pieces:
        events: list[Event] = scanner.feed(piece)
        offsets = [event.at for event in events]
        assert offsets == sorted(offsets)
        assert all(0 <= at <= len(piece) for at in offsets)
        assert not (over and events)
        over = over or any(isinstance(event, Opaque) for event in events)
        assert held(scanner) <= 3 * KEPT
    scanner.eof()


samples = st.sampled_from([case.wire for case in CASES if not case.large])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Streams that begin like HTTP and go wrong somewhere."""
    wire = bytearray(b"".join(draw(st.lists(samples, min_size=1, max_size=3))))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6)):
        if wire:
            wire[at % len(wire)] = byte
    begin = draw(st.integers(0, len(wire)))
    return bytes(wire[: draw(st.integers(begin, len(wire)))])


@fuzzed
@given(st.one_of(st.binary(max_size=200), damaged()), cuts)
def test_any_bytes_are_survived(data: bytes, places: list[int]) -> None:
    responses_to = ResponseScanner()
    for asked in (b"GET", b"HEAD", b"CONNECT", b"POST"):
        responses_to.expect(asked)
    check_sane(RequestScanner(), pieces_of(data, places))
    check_sane(responses_to, pieces_of(data, places))


@fuzzed
@given(st.sampled_from([b"A: b\r\n", b"A", b"Connection: x\r\n", b"Content-Length: 3\r\n", b" fold\n", b": ", b"\r"]))
def test_a_head_without_end_stays_bounded(line: bytes) -> None:
    for start, scanner in ((b"GET / HTTP/1.1\r\n", RequestScanner()), (b"HTTP/1.1 200 OK\r\n", ResponseScanner())):
        if isinstance(scanner, ResponseScanner):
            scanner.expect(b"GET")
        check_sane(scanner, [start, *[line * (KEPT // len(line))] * 4])


@fuzzed
@given(st.sampled_from([b"a", b" ", b"\t", b"0", b";x", b"A: b\r\n", b"\r"]), st.booleans())
def test_a_chunk_line_without_end_stays_bounded(text: bytes, trailer: bool) -> None:
    scanner = RequestScanner()
    scanner.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"0\r\n" if trailer else b"1"))
    for _ in range(4):
        scanner.feed(text * 100_000)
        assert scanner.opaque or (scanner._chunks is not None and len(scanner._chunks._line) <= 64)
