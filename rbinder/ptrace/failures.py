"""Connects that failed: the call that never got as far as a request.

A failed attempt is not yet a failed call: a client tries the next address of a name (RFC 8305). It becomes one when no
other connect to the same port has succeeded in the process within the time such clients take, or the process ends.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rbinder.binder.binder import Turn
from rbinder.records import ExchangeFailed, Kind, Record, RequestHead, Side

if TYPE_CHECKING:
    from rbinder.ptrace.connections import Connection
    from rbinder.ptrace.engine import Engine
    from rbinder.ptrace.tracee import Tracee

GRACE = 400_000_000  # ns; RFC 8305, 5: attempts follow each other after 250 ms

# errno → `error.type`
ERROR_TYPES = {
    errno.ECONNREFUSED: "connection_refused",
    errno.ECONNRESET: "connection_reset",
    errno.EPIPE: "connection_reset",
    errno.ECONNABORTED: "connection_aborted",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "host_unreachable",
    errno.ENETUNREACH: "network_unreachable",
    errno.EADDRNOTAVAIL: "address_not_available",
}


@dataclass(slots=True)
class _Failure:
    connection: Connection
    tracee: Tracee
    turn: Turn
    time: int


class FailedConnects:
    """Failed attempts that may yet be followed by a successful one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[_Failure] = []

    @property
    def waiting(self) -> bool:
        """Whether `settle` has something to decide later."""
        return bool(self._waiting)

    def add(self, connection: Connection, tracee: Tracee) -> None:
        """A connect has failed."""
        address, dialogue = connection.address, connection.dialogue
        if connection.error not in ERROR_TYPES or address is None or not address[1]:
            dialogue.fail("_OTHER", connection.connect_end)
            return
        if tracee.process.reached.get(address[1], 0) > connection.connect_start:
            dialogue.fail("_OTHER", connection.connect_end)  # another attempt was faster
            return
        cause = dialogue.tag
        parent = cause.span if cause else None
        turn = Turn(self._engine.binder.span(parent), parent, cause, connection.connect_start)
        dialogue.fail(ERROR_TYPES[connection.error], connection.connect_end)
        self._forget(tracee, address[1])
        self._waiting.append(_Failure(connection, tracee, turn, connection.connect_end))

    def succeeded(self, connection: Connection) -> None:
        """A connect has succeeded: what fails towards the same port, before it or after, was another attempt."""
        if connection.address is not None and self._engine.current is not None:
            tracee, port = self._engine.current, connection.address[1]
            tracee.process.reached[port] = connection.connect_end
            if self._waiting:
                self._forget(tracee, port)

    def _forget(self, tracee: Tracee, port: int) -> None:
        self._waiting = [
            failure
            for failure in self._waiting
            if failure.tracee.process is not tracee.process
            or failure.connection.address is None
            or failure.connection.address[1] != port
            or failure.turn.request is not self._cause(tracee)
        ]

    def _cause(self, tracee: Tracee) -> object:
        return tracee.thread.cause(None)

    def settle(self, now: int, process: object = None) -> None:
        """Record what has waited long enough, or belongs to a process that is gone."""
        due = [f for f in self._waiting if now - f.time >= GRACE or f.tracee.process is process]
        if due:
            self._waiting = [failure for failure in self._waiting if failure not in due]
            for failure in due:
                self._record(failure)

    def _record(self, failure: _Failure) -> None:
        turn, connection = failure.turn, failure.connection
        span = turn.span
        if span is None or not turn.recorded:
            return
        before, self._engine.current = self._engine.current, failure.tracee
        error_type = ERROR_TYPES[connection.error]
        self._engine.announce(connection, Side.CLIENT, failure.time)
        parent = turn.parent.span_id if turn.parent else bytes(8)
        head = RequestHead(Side.CLIENT, span.trace_id, parent, False, span.flags, turn.started, span.trace_state, b"")
        pid, tid, identity = failure.tracee.process.tgid, failure.tracee.tid, connection.dialogue.identity
        for kind, payload in (
            (Kind.REQUEST_HEAD, head),
            (Kind.EXCHANGE_FAILED, ExchangeFailed(Side.CLIENT, error_type)),
        ):
            self._engine.sink.put(Record(kind, failure.time, pid, tid, identity, span.span_id, payload))
        self._engine.current = before
