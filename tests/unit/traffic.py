"""Makes records as an engine would send them, for the tests of everything that reads records."""

from __future__ import annotations

import itertools

from rbinder.records import (
    NO_EXCHANGE,
    ConnectionInfo,
    Empty,
    ExchangeFailed,
    Kind,
    MessageEnd,
    Payload,
    ProcessExit,
    ProcessInfo,
    Record,
    RequestHead,
    ResponseHead,
    Side,
)

PID = 4242
TRACE = bytes(range(1, 17))
GET = b"GET /cart/7?id=3 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: test/1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"


class Traffic:
    """A traced program's records: each call returns the next one, a millisecond after the one before."""

    def __init__(self, start: int = 1_000_000_000, pid: int = PID) -> None:
        self._clock = itertools.count(start, 1_000_000)
        self.pid = pid

    def record(self, kind: Kind, payload: Payload, connection: int = 0, exchange: bytes = NO_EXCHANGE) -> Record:
        return Record(kind, next(self._clock), self.pid, self.pid, connection, exchange, payload)

    def process(self, executable: str = "/usr/bin/python3.11", *arguments: str, name: str = "") -> Record:
        argv = list(arguments or ("python", "/srv/shop.py"))
        return self.record(Kind.PROCESS, ProcessInfo(1, False, executable, argv, "/srv", name))

    def forked(self, child: int) -> Record:
        record = self.record(Kind.PROCESS, ProcessInfo(self.pid, True, "", []))
        record.pid = child
        return record

    def exited(self) -> Record:
        return self.record(Kind.PROCESS_EXIT, ProcessExit(0))

    def connection(self, number: int, info: ConnectionInfo | None = None, exchange: bytes = NO_EXCHANGE) -> Record:
        info = info or ConnectionInfo(Side.SERVER, "192.0.2.7", 40000, "127.0.0.1", 8080)
        return self.record(Kind.CONNECTION, info, number, exchange)

    def closed(self, number: int) -> Record:
        return self.record(Kind.CONNECTION_CLOSED, Empty(), number)

    def request(
        self,
        exchange: bytes,
        head: bytes = GET,
        connection: int = 1,
        side: Side = Side.SERVER,
        parent: bytes = NO_EXCHANGE,
        trace: bytes = TRACE,
        flags: int = 3,
        state: str = "",
    ) -> Record:
        started = next(self._clock)
        payload = RequestHead(side, trace, parent, side is Side.SERVER, flags, started, state, head)
        return self.record(Kind.REQUEST_HEAD, payload, connection, exchange)

    def response(self, exchange: bytes, head: bytes = OK, side: Side = Side.SERVER) -> Record:
        return self.record(Kind.RESPONSE_HEAD, ResponseHead(side, head), 1, exchange)

    def end(self, exchange: bytes, response: bool = True, side: Side = Side.SERVER) -> Record:
        return self.record(Kind.MESSAGE_END, MessageEnd(side, response, 7), 1, exchange)

    def failed(self, exchange: bytes, error_type: str, side: Side = Side.CLIENT) -> Record:
        return self.record(Kind.EXCHANGE_FAILED, ExchangeFailed(side, error_type), 1, exchange)

    def whole(self, exchange: bytes, head: bytes = GET, answer: bytes = OK, side: Side = Side.SERVER) -> list[Record]:
        """A request and its response."""
        return [self.request(exchange, head, side=side), self.response(exchange, answer, side), self.end(exchange)]


def number(value: int) -> bytes:
    """An exchange's id."""
    return value.to_bytes(8)
