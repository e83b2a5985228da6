"""Tells what the ring can't tell by itself, as records: deaths, connects that stay failed, and what was lost.

A killed process writes no record of its end. A failed attempt to connect is a failed call only if none succeeds after
it (RFC 8305: a client tries the next address of a name). Who found the ring full could but count.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rbinder.agent.contract import MADE_UP
from rbinder.agent.memory import SharedMemory
from rbinder.agent.ring import Mark
from rbinder.privilege import stat_fields
from rbinder.records import (
    ConnectFailed,
    ConnectionInfo,
    Empty,
    ExchangeFailed,
    Kind,
    Lost,
    MessageEnd,
    Note,
    Payload,
    ProcessExit,
    ProcessInfo,
    Record,
    Side,
)

if TYPE_CHECKING:
    from rbinder.exchanges import Exchange, Exchanges

GRACE = 400_000_000  # ns; RFC 8305, 5: attempts follow each other after 250 ms
PERIOD = 500_000_000  # ns between looks at the processes
SHARE = 200  # of the time may be spent on those looks: one part in so many
_FRAMED = frozenset((b"content-length", b"transfer-encoding"))


class Early(Protocol):
    """Who has open exchanges that Exchanges don't know of (collector.py)."""

    def holds(self, pid: int) -> bool: ...

    def release(self, pid: int) -> None:
        """Give Exchanges those of a process."""
        ...


class Stream(Protocol):
    """What is asked of the inbox (ring.py)."""

    @property
    def lost_requests(self) -> int: ...

    def mark(self) -> Mark: ...

    def is_past(self, mark: Mark) -> bool: ...


@dataclass(slots=True)
class _Failed:
    """A failed connect; `mark` is set once its time is over: a retraction may still be in the ring."""

    record: Record
    payload: ConnectFailed
    connection: ConnectionInfo | None
    mark: Mark | None = None


class Watch:
    """Asked in the collector's loop; times are CLOCK_MONOTONIC ns. Records of `kinds` are for `see` alone."""

    kinds = frozenset((Kind.PROCESS, Kind.CONNECT_FAILED, Kind.CONNECT_RETRACTED))

    def __init__(
        self,
        memory: SharedMemory,
        stream: Stream,
        exchanges: Exchanges,
        born: Callable[[int], int] | None = None,
        early: Early | None = None,
    ) -> None:
        self._memory, self._stream, self._exchanges, self._early = memory, stream, exchanges, early
        self._born = born or birth
        self._processes: dict[int, int] = {}  # those announced, and what `born` said of them then
        self._dying: list[tuple[int, Mark]] = []
        self._failed: dict[bytes, _Failed] = {}
        self._next = 0
        self._refused = False

    def see(self, record: Record) -> list[Record]:
        """What is to be taken instead of a record of one of `kinds`."""
        if isinstance(record.payload, ConnectFailed):
            known = self._exchanges.connection(record.connection)  # it may be closed before this is told
            self._failed[record.exchange] = _Failed(record, record.payload, known)
            return []
        if isinstance(record.payload, ProcessInfo):
            if record.pid >= MADE_UP:  # in another PID namespace: it can't be looked at
                return [record]
            return [*self._started(record.pid, record.time), record]
        self._failed.pop(record.exchange, None)
        return []

    def due(self, now: int) -> list[Record]:
        """What is to be told now."""
        told = self._settle(now)
        if now >= self._next:
            self._look()
            self._next = now + max(PERIOD, (time.monotonic_ns() - now) * SHARE)
            told += self._refusals(now)
        if self._dying:
            told += self._buried(now)
        return told

    def wait(self, now: int) -> float | None:
        """Seconds until something may be due; None: nothing will."""
        times = [failed.record.time + GRACE for failed in self._failed.values()]
        if self._processes or self._dying:
            times.append(self._next)
        return max(0.001, (min(times) - now) / 1e9) if times else None

    def finish(self, now: int) -> list[Record]:
        """The stream has ended, and all of it was taken."""
        told = [record for failed in self._failed.values() for record in self._told(failed)]
        self._failed.clear()
        for pid in [pid for pid in self._processes if self._is_gone(pid)]:
            told += self._end(pid, now)
        lost = self._memory.lost_spans + self._stream.lost_requests
        if lost:
            told.append(_record(Kind.LOST, now, Lost(lost)))
        return told + self._refusals(now) + self._unfollowed(now)

    # -- processes

    def _started(self, pid: int, now: int) -> list[Record]:
        """A new image: an exec's, or a new process's with the number of one that is gone."""
        self._dying = [each for each in self._dying if each[0] != pid]
        told = self._end(pid, now) if pid in self._processes else []
        self._processes[pid] = self._born(pid)
        return told

    def _look(self) -> None:
        """Find who is gone. What they wrote is in the ring already, so all that is there now comes first."""
        dying = {pid for pid, _ in self._dying}
        for pid in self._processes:
            if pid not in dying and self._is_gone(pid):
                self._dying.append((pid, self._stream.mark()))

    def _is_gone(self, pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        # a zombie, or the number is another's: only worth asking where somebody waits for the answer
        asked = bool(self._exchanges.open_in_process(pid)) or (self._early is not None and self._early.holds(pid))
        return asked and self._born(pid) != (self._processes[pid] or -1)

    def _buried(self, now: int) -> list[Record]:
        over = [pid for pid, mark in self._dying if self._stream.is_past(mark)]
        self._dying = [each for each in self._dying if each[0] not in over]
        if self._early is not None:
            for pid in over:
                self._early.release(pid)
        return [record for pid in over for record in self._end(pid, now)]

    def _end(self, pid: int, now: int) -> list[Record]:
        """What the kernel did with its connections, and that it is gone."""
        self._processes.pop(pid, None)
        mine = [key for key, failed in self._failed.items() if failed.record.pid == pid]
        told = [record for key in mine for record in self._told(self._failed.pop(key))]
        for connection, exchange in self._exchanges.open_in_process(pid):
            told.append(_released(pid, connection, exchange, now))
        told.append(Record(Kind.PROCESS_EXIT, now, pid, pid, payload=ProcessExit(0)))
        return told

    # -- failed connects

    def _settle(self, now: int) -> list[Record]:
        told: list[Record] = []
        for key, failed in list(self._failed.items()):
            if failed.mark is None and now - failed.record.time >= GRACE:
                failed.mark = self._stream.mark()
            if failed.mark is not None and self._stream.is_past(failed.mark):
                told += self._told(self._failed.pop(key))
        return told

    def _told(self, failed: _Failed) -> list[Record]:
        """The call that failed with its connect."""
        record, request = failed.record, failed.payload.request
        whose = (record.time, record.pid, record.tid, record.connection, record.exchange)
        told = [
            Record(Kind.REQUEST_HEAD, *whose, request),
            Record(Kind.EXCHANGE_FAILED, *whose, ExchangeFailed(request.side, failed.payload.error_type)),
        ]
        if failed.connection and not self._exchanges.connection(record.connection):
            before, after = Kind.CONNECTION, Kind.CONNECTION_CLOSED
            told = [Record(before, *whose, failed.connection), *told, Record(after, *whose, Empty())]
        return told

    # -- sentences

    def _refusals(self, now: int) -> list[Record]:
        count = self._memory.refused
        if not count or self._refused:
            return []
        self._refused = True
        who = "a process has" if count == 1 else f"{count} processes have"
        it = "it is" if count == 1 else "they are"
        return [_record(Kind.NOTE, now, Note(f"{who} an agent of another version of rbinder: {it} not traced"))]

    def _unfollowed(self, now: int) -> list[Record]:
        count = self._memory.passed
        if not count or self._memory.settings.verbosity < 1:
            return []
        calls = "a call" if count == 1 else f"{count} calls"
        return [_record(Kind.NOTE, now, Note(f"{calls} went through unfollowed: the agent had no room, or was busy"))]


def birth(pid: int) -> int:
    """When the process was started (ticks since boot); 0: it is no more, or only its zombie is left."""
    try:
        fields = stat_fields(pid)
    except OSError:
        return 0
    # proc(5): state, num_threads, starttime. A first thread that has ended is no zombie while others run.
    return 0 if fields[0] in ("Z", "X") and int(fields[17]) <= 1 else int(fields[19])


def _record(kind: Kind, now: int, payload: Payload) -> Record:
    return Record(kind, now, 0, 0, payload=payload)


def _released(pid: int, connection: int, exchange: Exchange, now: int) -> Record:
    """An open exchange whose connection went with its process; as when the process had closed it."""
    response = exchange.response
    payload: Payload
    if exchange.side is Side.SERVER and response and not any(name in _FRAMED for name, _ in response.headers):
        kind, payload = Kind.MESSAGE_END, MessageEnd(Side.SERVER, True, 0)  # its body ended with the connection
    else:
        gave_up = exchange.side is Side.CLIENT and response is None
        payload = ExchangeFailed(exchange.side, "timeout" if gave_up else "connection_closed")
        kind = Kind.EXCHANGE_FAILED
    return Record(kind, now, pid, pid, connection, exchange.span_id, payload)
