"""The way records take from an engine to the collector process: a pipe that is never waited for.

What the pipe doesn't take is kept up to a bound; what is beyond the bound is dropped and counted, and the count is told
by a LOST record as soon as there is room.
"""

from __future__ import annotations

import fcntl
import os
import time

from rbinder.records import Kind, Lost, Record

PIPE_SIZE = 1 << 20  # bytes; /proc/sys/fs/pipe-max-size allows it to everybody by default
_BACKLOG = 1 << 22  # bytes kept beside the pipe
_F_SETPIPE_SZ = 1031  # linux/fcntl.h


def open_pipe() -> tuple[int, int]:
    """(read end, write end): close-on-exec, as large as allowed, the write end non-blocking."""
    reader, writer = os.pipe()
    for size in (PIPE_SIZE, PIPE_SIZE >> 2):
        try:
            fcntl.fcntl(writer, _F_SETPIPE_SZ, size)
            break
        except OSError:
            continue  # the user's pipe pages are used up (pipe(7)): a small pipe works too
    os.set_blocking(writer, False)
    return reader, writer


class Sink:
    """Takes records; never blocks, never raises."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._backlog = bytearray()
        self._broken = False
        self.lost = 0

    def put(self, record: Record) -> None:
        """Send a record, keep it, or count it as lost."""
        if self._broken or len(self._backlog) > _BACKLOG:
            self.lost += 1
            if self._broken:
                return
        else:
            if self.lost:
                self._backlog += Record(Kind.LOST, record.time, record.pid, 0, payload=Lost(self.lost)).pack()
                self.lost = 0
            self._backlog += record.pack()
        self.flush()

    @property
    def pending(self) -> bool:
        """Whether something waits for room in the pipe."""
        return bool(self._backlog)

    def flush(self) -> None:
        """Write what the pipe takes now."""
        while self._backlog:
            try:
                count = os.write(self._descriptor, self._backlog)
            except BlockingIOError:
                return
            except OSError:  # the collector is gone
                self._broken = True
                self._backlog.clear()
                return
            del self._backlog[:count]

    def close(self, deadline: float) -> None:
        """Write the rest until `deadline` (time.monotonic seconds), then close."""
        while not self._broken and time.monotonic() < deadline:
            if self.lost and len(self._backlog) <= _BACKLOG:
                self._backlog += Record(Kind.LOST, time.monotonic_ns(), os.getpid(), 0, payload=Lost(self.lost)).pack()
                self.lost = 0
            self.flush()
            if not self._backlog:
                break
            time.sleep(0.005)
        os.close(self._descriptor)


class NullSink(Sink):
    """Takes records to nowhere."""

    def __init__(self) -> None:
        super().__init__(-1)

    def put(self, record: Record) -> None:
        """Drop it."""

    def close(self, deadline: float) -> None:
        """Nothing to close."""
