"""Rebuilds exchanges, a request and its response each, from records. This file does no I/O.

An exchange ends exactly once: with its response, with a failure the engine tells, with its connection, with its
process, with the stream, or because too many are open. What is kept is bounded by what is open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rbinder.messages import Request, Response, parse_request, parse_response
from rbinder.records import (
    ConnectionInfo,
    Empty,
    ExchangeFailed,
    Kind,
    Lost,
    MessageEnd,
    ProcessExit,
    ProcessInfo,
    Record,
    RequestHead,
    ResponseHead,
    Side,
)

OPEN_LIMIT = 100_000  # exchanges, and as many connections and processes
OTHER_ERROR = "_OTHER"  # semantic conventions, `error.type`: no better value is known


@dataclass(slots=True)
class Process:
    """One image of a process: an exec makes another one. `identity` is unique in the stream."""

    pid: int
    identity: int
    info: ProcessInfo


@dataclass(slots=True)
class Exchange:
    """A request and what became of it; times are CLOCK_MONOTONIC nanoseconds, ids as in the records.

    `first_on_connection` tells that the connection was made for it. `error_type` is "" unless something other than
    the response's status went wrong.
    """

    side: Side
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    remote_parent: bool
    trace_flags: int
    trace_state: str
    process: Process
    connection: ConnectionInfo | None
    first_on_connection: bool
    started: int
    ended: int
    request: Request | None
    response: Response | None = None
    error_type: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid


@dataclass(slots=True)
class _Connection:
    info: ConnectionInfo
    used: bool = False


@dataclass(slots=True)
class _Open:
    exchange: Exchange
    connection: int


class Exchanges:
    """Feed it records in their order; each call returns the exchanges which that record finished."""

    def __init__(self, limit: int = OPEN_LIMIT) -> None:
        self.lost = 0  # records that the engine had to drop
        self._limit = limit
        self._open: dict[bytes, _Open] = {}  # by exchange id, oldest first
        self._on_connection: dict[int, dict[bytes, None]] = {}
        self._in_process: dict[int, dict[bytes, None]] = {}
        self._in_trace: dict[bytes, int] = {}
        self._connections: dict[int, _Connection] = {}
        self._processes: dict[int, Process] = {}
        self._identities = 0

    def open_in_trace(self, trace_id: bytes) -> int:
        """How many exchanges of that trace are still open."""
        return self._in_trace.get(trace_id, 0)

    def open_in_process(self, pid: int) -> list[tuple[int, Exchange]]:
        """That process's exchanges which are still open, oldest first, each with its connection's identity."""
        found = (self._open[key] for key in self._in_process.get(pid, ()))
        return [(each.connection, each.exchange) for each in found]

    def connection(self, identity: int) -> ConnectionInfo | None:
        """What was told of a connection that isn't closed."""
        known = self._connections.get(identity)
        return known.info if known else None

    @property
    def open(self) -> int:
        return len(self._open)

    def feed(self, record: Record) -> list[Exchange]:
        """Take one record; NOTE and FLUSH are not for this class and change nothing."""
        match record.payload:
            case RequestHead() as head:
                return self._request(record, head)
            case ResponseHead() as head:
                return self._response(record, head)
            case MessageEnd() as end:
                return self._finish(record.exchange, record.time) if end.is_response else []
            case ExchangeFailed() as failure:
                return self._finish(record.exchange, record.time, failure.error_type or OTHER_ERROR)
            case ConnectionInfo() as info:
                self._connected(record, info)
            case Empty() if record.kind is Kind.CONNECTION_CLOSED:
                return self._closed(record)
            case ProcessInfo() as info:
                self._started(record.pid, info)
            case ProcessExit():
                return self._exited(record)
            case Lost() as lost:
                self.lost += lost.count
        return []

    def close(self, time: int) -> list[Exchange]:
        """The stream has ended at `time`: end what is open."""
        return self._finish_all(list(self._open), time, "process_exit")

    def _request(self, record: Record, head: RequestHead) -> list[Exchange]:
        if record.exchange in self._open:
            return []
        connection = self._connections.get(record.connection)
        exchange = Exchange(
            side=head.side,
            trace_id=head.trace_id,
            span_id=record.exchange,
            parent_id=head.parent_id,
            remote_parent=head.remote_parent,
            trace_flags=head.trace_flags,
            trace_state=head.trace_state,
            process=self._process(record.pid),
            connection=connection.info if connection else None,
            first_on_connection=connection is not None and not connection.used,
            started=head.started or record.time,
            ended=0,
            request=parse_request(head.head),
        )
        if connection:
            connection.used = True
        self._register(exchange, record.connection)
        if len(self._open) <= self._limit:
            return []
        return self._finish(next(iter(self._open)), record.time, OTHER_ERROR)

    def _register(self, exchange: Exchange, connection: int) -> None:
        key = exchange.span_id
        self._open[key] = _Open(exchange, connection)
        if connection:
            self._on_connection.setdefault(connection, {})[key] = None
        self._in_process.setdefault(exchange.pid, {})[key] = None
        self._in_trace[exchange.trace_id] = self.open_in_trace(exchange.trace_id) + 1

    def _response(self, record: Record, head: ResponseHead) -> list[Exchange]:
        found = self._open.get(record.exchange)
        if found is None:
            return []
        found.exchange.response = parse_response(head.head)
        if next(iter(self._on_connection.get(found.connection, ())), record.exchange) == record.exchange:
            return []
        return self._outrun(found, record)

    def _outrun(self, found: _Open, record: Record) -> list[Exchange]:
        """Responses come in order (RFC 9112 section 9.3.2): of the requests before it the end's record was lost."""
        ended: list[Exchange] = []
        for key in list(self._on_connection[found.connection]):
            if key == record.exchange:
                break
            error_type = "" if self._open[key].exchange.response else OTHER_ERROR
            ended += self._finish(key, min(found.exchange.started, record.time), error_type)
        return ended

    def _finish(self, key: bytes, time: int, error_type: str = "") -> list[Exchange]:
        """End one exchange; an id that isn't open (its request's record was lost, or it has ended) is nothing."""
        found = self._open.pop(key, None)
        if found is None:
            return []
        exchange = found.exchange
        exchange.ended, exchange.error_type = max(time, exchange.started), error_type
        _discard(self._on_connection, found.connection, key)
        _discard(self._in_process, exchange.pid, key)
        left = self._in_trace.pop(exchange.trace_id) - 1
        if left:
            self._in_trace[exchange.trace_id] = left
        return [exchange]

    def _finish_all(self, keys: list[bytes], time: int, error_type: str) -> list[Exchange]:
        return [exchange for key in keys for exchange in self._finish(key, time, error_type)]

    def _connected(self, record: Record, info: ConnectionInfo) -> None:
        self._connections.pop(record.connection, None)
        self._connections[record.connection] = connection = _Connection(info)
        _limit(self._connections, self._limit)
        if (found := self._open.get(record.exchange)) and found.exchange.connection is None:
            found.exchange.connection, found.exchange.first_on_connection = info, True
            connection.used = True

    def _closed(self, record: Record) -> list[Exchange]:
        self._connections.pop(record.connection, None)
        keys = list(self._on_connection.get(record.connection, ()))
        return self._finish_all(keys, record.time, "connection_closed")

    def _started(self, pid: int, info: ProcessInfo) -> None:
        parent = self._processes.get(info.parent_pid)
        if info.forked and not info.executable and parent is not None:
            info = replace(parent.info, parent_pid=info.parent_pid, forked=True)
        self._processes.pop(pid, None)
        self._add_process(pid, info)

    def _add_process(self, pid: int, info: ProcessInfo) -> Process:
        self._identities += 1
        self._processes[pid] = process = Process(pid, self._identities, info)
        _limit(self._processes, self._limit)
        return process

    def _process(self, pid: int) -> Process:
        return self._processes.get(pid) or self._add_process(pid, ProcessInfo(0, False, "", []))

    def _exited(self, record: Record) -> list[Exchange]:
        self._processes.pop(record.pid, None)
        keys = list(self._in_process.get(record.pid, ()))
        return self._finish_all(keys, record.time, "process_exit")


def _discard(index: dict[int, dict[bytes, None]], group: int, key: bytes) -> None:
    if members := index.get(group):
        members.pop(key, None)
        if not members:
            del index[group]


def _limit(table: dict[int, Any], limit: int) -> None:
    if len(table) > limit:
        del table[next(iter(table))]
