"""Spans made of stencils are the spans that would have been made without them, whatever happens between."""

from __future__ import annotations

import ctypes
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from made import Kept
from native import SANITIZED, build
from opentelemetry.sdk.trace import ReadableSpan

from rbinder.agent.stencils import Early, Stencils
from rbinder.exchanges import Exchange, Exchanges
from rbinder.exporters.otlp_wire import EncodedSpans, Encoder, varint
from rbinder.records import (
    NO_EXCHANGE,
    ConnectionInfo,
    Decoder,
    Empty,
    ExchangeFailed,
    Kind,
    MessageEnd,
    Note,
    Payload,
    ProcessExit,
    ProcessInfo,
    Record,
    RequestHead,
    ResponseHead,
    Side,
)
from rbinder.spans import Clock, Spans

FUZZ_SECONDS = float(os.environ.get("RBINDER_FUZZ_SECONDS", "2"))
EPOCH = 1_700_000_000_000_000_000
STREAMS = 20
TARGETS = (
    *(
        "/",
        "/work",
        "/work?id={n}",
        "/work?id={n}&sig=REDACTED",
        "/{n}/a%20b",
        "//x",
        "/x?",
        "/a?b?c",
        "/a#b?c",
        "/a?x=1&y",
    ),
    *("*", "http://a:81/x?y={n}", "/long" * 300),
)
FIELDS = (
    "Host: a:8080\r\nUser-Agent: test\r\n",
    "Host: a\r\nContent-Length: 12\r\nX-Forwarded-For: 10.0.0.1\r\n",
    "",
)
PLACES = (("::1", "::1"), ("/run/a.socket", ""), ("", "@abstract"), ("", ""), ("/" + "long" * 80, ""))
METHODS = ("GET", "POST", "HEAD", "CONNECT", "BREW")
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 500 No\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"nonsense\r\n",
    b"HTTP/1.1 200 OK\r\nUpgrade: " + b"x" * 600 + b"\r\n\r\n",
)


pytestmark = pytest.mark.usefixtures("reader")


class World:
    """Makes records as programs do, and as no program should."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._now = 1_000
        self._open: dict[int, list[tuple[int, bytes, Side]]] = {}  # by connection: pid, exchange, side
        self._sides: dict[int, tuple[int, Side]] = {}
        self._last = 0
        self._pids = [10, 11, 10 + 1024]
        self._variety = self._random.choice((1, 2, len(TARGETS)))
        self._lasting = self._random.choice((0.01, 0.3))  # of its records, those that say a connection is closed

    def records(self, count: int) -> Iterator[Record]:
        for pid in self._pids:
            yield self._record(Kind.PROCESS, pid, ProcessInfo(1, False, f"/bin/p{pid}", ["p"]))
        for _ in range(count):
            yield from self._next()

    @property
    def now(self) -> int:
        return self._now

    def _record(
        self, kind: Kind, pid: int, payload: Payload, connection: int = 0, exchange: bytes = NO_EXCHANGE
    ) -> Record:
        self._now += self._random.randrange(1, 2_000_000)
        return Record(kind, self._now, pid, pid, connection, exchange, payload)

    def _next(self) -> Iterator[Record]:
        choose = self._random
        if not self._sides or choose.random() < self._lasting:
            yield from self._connected()
            return
        connection = choose.choice(list(self._sides))
        pid, side = self._sides[connection]
        event = choose.random()
        if event < self._lasting:
            yield self._record(Kind.CONNECTION_CLOSED, pid, Empty(), connection)
            del self._sides[connection]
            self._open.pop(connection, None)
        elif choose.random() < 0.005:
            yield self._record(Kind.PROCESS, pid, ProcessInfo(1, choose.random() < 0.5, f"/bin/q{event}", ["q"]))
        elif choose.random() < 0.005:
            yield self._record(Kind.PROCESS_EXIT, pid, ProcessExit(0))
        elif choose.random() < 0.01:
            yield self._record(Kind.NOTE, pid, Note("said"))
        else:
            yield from self._exchange(connection, pid, side)

    def _connected(self) -> Iterator[Record]:
        self._last += 1
        pid, side = self._random.choice(self._pids), self._random.choice(list(Side))
        self._sides[self._last] = pid, side
        if self._random.random() < 0.9:
            yield self._record(Kind.CONNECTION, pid, self._connection(side), self._last)

    def _connection(self, side: Side) -> ConnectionInfo:
        choose = self._random
        start, end, asked, told = (choose.choice((0, 0, self._now - 9, self._now - 5)) for _ in range(4))
        peer, local = ("10.0.0.9", "127.0.0.1") if choose.random() < 0.9 else choose.choice(PLACES)
        theirs, ours = (choose.choice((0, 80, 4000 + self._last)) if choose.random() < 0.3 else 80 for _ in range(2))
        if side is Side.SERVER and choose.random() < 0.8:
            theirs = 4000 + self._last
        other = choose.choice(list(Side)) if choose.random() < 0.03 else side
        error = 111 if choose.random() < 0.03 else 0
        return ConnectionInfo(other, peer, theirs, local, ours, start, end, asked, told, error)

    def _exchange(self, connection: int, pid: int, side: Side) -> Iterator[Record]:
        """Mostly whole, sometimes with a part lost, pipelined or failed."""
        choose = self._random
        exchange = choose.randbytes(8)
        steps = [
            self._record(Kind.REQUEST_HEAD, pid, self._request(side), connection, exchange),
            self._record(Kind.MESSAGE_END, pid, MessageEnd(side, False, 0), connection, exchange),
            self._record(Kind.RESPONSE_HEAD, pid, ResponseHead(side, self._answer()), connection, exchange),
            self._record(Kind.MESSAGE_END, pid, MessageEnd(side, True, 5), connection, exchange),
        ]
        if choose.random() < 0.1:
            del steps[choose.randrange(len(steps))]
        if choose.random() < 0.03:
            steps[-1] = self._record(Kind.EXCHANGE_FAILED, pid, ExchangeFailed(side, "timeout"), connection, exchange)
        if choose.random() < 0.03:
            steps.insert(choose.randrange(len(steps)), choose.choice(steps))
        for step in steps:
            yield step
            if choose.random() < 0.05 and len(self._sides) > 1:
                yield from self._next()

    def _request(self, side: Side) -> RequestHead:
        choose = self._random
        method = METHODS[0] if choose.random() < 0.9 else choose.choice(METHODS)
        target = choose.choice(TARGETS[-self._variety - 4 :]).format(n=choose.randrange(1000))
        head = f"{method} {target} HTTP/1.1\r\n{choose.choice(FIELDS[: self._variety])}\r\n".encode()
        parent = NO_EXCHANGE if choose.random() < 0.3 else choose.randbytes(8)
        state = "a=b" if choose.random() < 0.05 else ""
        started = 0 if choose.random() < 0.1 else self._now
        return RequestHead(side, choose.randbytes(16), parent, choose.random() < 0.5, 3, started, state, head)

    def _answer(self) -> bytes:
        return ANSWERS[0] if self._random.random() < 0.8 else self._random.choice(ANSWERS)


def spans(kept: Kept) -> Spans:
    return Spans([kept], clock=Clock(lambda: EPOCH, lambda: 0))


def the_long_way(records: list[Record], end: int) -> Counter[bytes]:
    exchanges, kept = Exchanges(), Kept()
    made = spans(kept)
    for record in records:
        for exchange in exchanges.feed(record):
            made.emit(exchange)
    for exchange in exchanges.close(end):
        made.emit(exchange)
    return encoded(kept)


def encoded(kept: Kept) -> Counter[bytes]:
    encoder = Encoder()
    return Counter(resource(span) + encoder._span(span) for span in kept.spans)


def resource(span: ReadableSpan) -> bytes:
    """But for what is made up for each image."""
    return str(sorted(item for item in span.resource.attributes.items() if item[0] != "service.instance.id")).encode()


def parts(delivered: EncodedSpans) -> Iterator[bytes]:
    """Each span's own bytes."""
    data, found = delivered.data, 0
    while data:
        size, shift, at = 0, 0, 1
        assert data[0] == 0x12
        while True:
            byte = data[at]
            size, shift, at = size | (byte & 0x7F) << shift, shift + 7, at + 1
            if byte < 0x80:
                break
        assert varint(size) == data[1:at]
        yield resource(delivered.sample) + data[at : at + size]
        data, found = data[at + size :], found + 1
    assert found == delivered.count


class Short:
    """What the collector does."""

    def __init__(self, most: int) -> None:
        self.made: Counter[bytes] = Counter()
        self.short = self.told = 0
        self.largest = 0
        self._exchanges, self._kept = Exchanges(), Kept()
        self._spans = spans(self._kept)
        self._stencils = Stencils(self._deliver, self._spans.epoch, most)
        self._early = Early(self._stencils, self._take)

    def _deliver(self, delivered: EncodedSpans) -> None:
        self.made.update(parts(delivered))
        self.short += delivered.count
        self.largest = max(self.largest, delivered.count)

    def _take(self, record: Record) -> None:
        self.told += 1
        self._emit(self._exchanges.feed(record))
        if record.kind in (Kind.PROCESS, Kind.PROCESS_EXIT):
            self._stencils.forget(record.pid)

    def _emit(self, exchanges: list[Exchange]) -> None:
        for exchange in exchanges:
            span = self._spans.emit(exchange)
            assert span is not None
            self._stencils.learn(exchange, span)

    def feed(self, records: list[Record]) -> None:
        """Those of one piece; an end of a process is told by others than the program."""
        data = b""
        for record in records:
            if record.kind is Kind.PROCESS_EXIT:
                self._feed(data)
                data = b""
                self._early.release(record.pid)
                self._take(record)
            else:
                data += record.pack()
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        room = ctypes.create_string_buffer(data, max(1, len(data)))
        at = 0
        while at < len(data):
            taken, passed = self._stencils.feed(ctypes.addressof(room) + at, len(data) - at)
            assert 0 < taken <= len(data) - at
            at += taken
            for record in Decoder(framed=True).feed(passed):
                self._take(record)

    def finish(self, end: int) -> Counter[bytes]:
        self._early.release()
        self._emit(self._exchanges.close(end))
        return self.made + encoded(self._kept)


@pytest.mark.parametrize("seed", range(STREAMS))
def test_the_same_spans(seed: int) -> None:
    world, choose = World(seed), random.Random(seed)
    records = list(world.records(1500))
    most = choose.choice((1, 7, 512))
    short = Short(most)
    at = 0
    while at < len(records):
        count = choose.choice((1, 10, 300))
        short.feed(records[at : at + count])
        at += count
    assert short.finish(world.now) == the_long_way(records, world.now)
    assert short.largest <= most


@pytest.mark.parametrize("at_once", [1, 100])
def test_most_take_the_short_way(at_once: int) -> None:
    """Of one head, all but the one that is noted, and the one a stencil is cut from."""
    short, side = Short(512), Side.SERVER
    connection = ConnectionInfo(side, "10.0.0.9", 5, "127.0.0.1", 80)
    records = [Record(Kind.CONNECTION, 1, 7, 7, 1, NO_EXCHANGE, connection)]
    for number in range(1, 101):
        exchange, time = number.to_bytes(8, "little"), number * 10
        head = f"GET /work?id={number} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        request = RequestHead(side, bytes(15) + b"\1", NO_EXCHANGE, False, 1, time, "", head)
        payloads: list[tuple[Kind, Payload]] = [
            (Kind.REQUEST_HEAD, request),
            (Kind.RESPONSE_HEAD, ResponseHead(side, ANSWERS[0])),
            (Kind.MESSAGE_END, MessageEnd(side, True, 5)),
        ]
        records += [Record(kind, time, 7, 7, 1, exchange, payload) for kind, payload in payloads]
        if number % at_once == 0:
            short.feed(records)
            records = []
    assert short.short == 98
    assert sum(short.finish(2000).values()) == 100


@pytest.mark.parametrize("side", [Side.SERVER, Side.CLIENT])
def test_connections_that_are_new_take_the_short_way_too(side: Side) -> None:
    """All but the one that is noted, and the one a stencil is cut from. Of the others nothing is passed on."""
    short, exchanges, kept = Short(512), Exchanges(), Kept()
    long = spans(kept)
    for number in range(1, 101):
        exchange, time = number.to_bytes(8, "little"), number * 100
        head = f"GET /work?id={number} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        ours, theirs = (80, 4000 + number) if side is Side.SERVER else (4000 + number, 80)
        made = (0, 0, 0, 0) if side is Side.SERVER else (time + 3, time + 4, time + 1, time + 2)
        connection = ConnectionInfo(side, "10.0.0.9", theirs, "127.0.0.1", ours, *made)
        payloads: list[tuple[Kind, bytes, Payload]] = [
            (Kind.CONNECTION, NO_EXCHANGE, connection),
            (Kind.REQUEST_HEAD, exchange, RequestHead(side, bytes(15) + b"\1", NO_EXCHANGE, False, 1, time, "", head)),
            (Kind.RESPONSE_HEAD, exchange, ResponseHead(side, ANSWERS[0])),
            (Kind.MESSAGE_END, exchange, MessageEnd(side, True, 5)),
            (Kind.CONNECTION_CLOSED, NO_EXCHANGE, Empty()),
        ]
        records = [Record(kind, time + 9, 7, 7, number, which, payload) for kind, which, payload in payloads]
        short.feed(records)
        for record in records:
            for each in exchanges.feed(record):
                long.emit(each)
    assert short.short == 98
    assert short.told == 2 * len(records)
    assert short.finish(20000) == encoded(kept)


def test_what_is_held_is_told_and_released() -> None:
    stencils = Stencils(lambda delivered: None, lambda: 0, 512)
    head = RequestHead(Side.SERVER, bytes(15) + b"\1", NO_EXCHANGE, False, 1, 5, "", b"GET / HTTP/1.1\r\n\r\n")
    first = Record(Kind.REQUEST_HEAD, 5, 7, 7, 1, b"firstone", head).pack()
    end = Record(Kind.MESSAGE_END, 6, 7, 7, 1, b"firstone", MessageEnd(Side.SERVER, True, 5)).pack()
    second = Record(Kind.REQUEST_HEAD, 7, 7, 7, 1, b"the next", head).pack()
    room = ctypes.create_string_buffer(first + end + second)
    assert stencils.feed(ctypes.addressof(room), len(first + end + second)) == (len(first + end + second), first + end)
    assert (stencils.holds(7), stencils.holds(8)) == (True, False)
    assert stencils.release(8) == b""
    assert stencils.release(7) == second
    assert not stencils.holds(7)
    assert stencils.release() == b""


def test_nothing_in_a_record_is_trusted(tmp_path: Path) -> None:
    """Under address and undefined-behaviour sanitizers, with records that were spoilt at random."""
    sources = ["fuzz_stencil.c", "stencil.c", "stencil_spans.c", "memory.c"]
    fuzzer = build(sources, tmp_path / "fuzz", (*SANITIZED, "-DRBINDER_HOSTED"))
    assert os.spawnl(os.P_WAIT, str(fuzzer), "fuzz_stencil", str(int(FUZZ_SECONDS))) == 0
