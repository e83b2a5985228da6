"""Drains the records' pipe at once into memory, bounded, waking as rarely as that allows."""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections import deque

LIMIT = 64 << 20  # bytes kept; beyond them the pipe fills, and the engine drops and counts
READ_SIZE = 1 << 20  # bytes, the pipe's wanted size
GATHER = 0.020  # seconds to let a pipe of that size fill before it is read


class Inbox:
    """A thread that reads `source` until its end, and what it has read."""

    def __init__(self, source: int, limit: int = LIMIT) -> None:
        self.ended = False
        self._source, self._limit = source, limit
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._gather = _gather_time(source)
        self._thread = threading.Thread(target=self._drain, name="rbinder-inbox", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self, timeout: float | None) -> bytes:
        """The next bytes; none after `timeout` seconds (None: wait for ever) or when all was taken at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self.ended, timeout)
            if not self._chunks:
                return b""
            chunk = self._chunks.popleft()
            self._size -= len(chunk)
            self._changed.notify_all()
            return chunk

    @property
    def exhausted(self) -> bool:
        """All bytes that will ever come have been taken."""
        return self.ended and not self._chunks

    def _drain(self) -> None:
        readable, hung_up = select.poll(), select.poll()
        readable.register(self._source, select.POLLIN)
        hung_up.register(self._source, 0)  # POLLHUP is always reported: the writer's end cuts the gathering short
        while chunk := self._read(readable, hung_up):
            with self._changed:
                self._chunks.append(chunk)
                self._size += len(chunk)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._size < self._limit)
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def _read(self, readable: select.poll, hung_up: select.poll) -> bytes:
        try:
            readable.poll()
            hung_up.poll(self._gather * 1000)
            return os.read(self._source, READ_SIZE)
        except OSError:
            return b""


def _gather_time(source: int) -> float:
    """A smaller pipe (the user's limit may forbid more, pipe(7)) has to be emptied more often."""
    try:
        size = fcntl.fcntl(source, fcntl.F_GETPIPE_SZ)
    except OSError:
        return GATHER
    return GATHER * min(1.0, size / READ_SIZE)
