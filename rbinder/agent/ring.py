"""Drains the agents' ring, and the pipe beside it, into memory: bounded, waking as rarely as that allows.

    agents ──▶ ring ──▶ pump (C, a thread that never waits for the interpreter) ──▶ spool ──▶ take()
    keeper ──▶ pipe ──▶ a thread asleep in read(2) ──────────────────────────────▶ chunks ──▶ take()

The pipe's end tells that all programs have ended.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rbinder.agent.memory import SharedMemory
from rbinder.agent.pump import SPOOL_SLACK, Pump, load
from rbinder.records import HEADER

LIMIT = 64 << 20  # bytes kept; beyond them the ring fills, and the agents drop and count
PIECE = 1 << 18  # bytes taken at once, at most
SHORTEST, LONGEST = 20, 100  # milliseconds between looks at the ring: while records come, and while none do
GATHER = 100  # milliseconds that few records wait for more
PATIENCE = 1_000_000_000  # ns for a producer to finish its record; a killed one is noticed sooner
FOREVER = 3600.0  # seconds
READ_SIZE = 65536


@dataclass(slots=True)
class Mark:
    """A place in the stream: the end of what was in the ring at some time. `spooled`: the same in the spool, or -1."""

    position: int
    spooled: int = -1


# Takes records from memory (address, bytes): how many bytes of it, and what take() shall give instead of them.
Through = Callable[[int, int], tuple[int, bytes]]


def unchanged(address: int, size: int) -> tuple[int, bytes]:
    """All of them, as they are."""
    return size, ctypes.string_at(address, size)


class RingInbox:
    """What was read from ring and pipe; to its user as `rbinder.inbox.Inbox`, but that it gives whole records.

    What comes by the ring goes `through` a function.
    """

    def __init__(self, source: int, memory: SharedMemory, limit: int = LIMIT) -> None:
        self.ended = False
        self.through: Through = unchanged
        self._source = source
        self._library = load()
        self._spool = mmap.mmap(-1, limit + SPOOL_SLACK, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._pump = Pump(patience=PATIENCE, shortest=SHORTEST, longest=LONGEST, gather=GATHER, size=limit)
        self._pump.reader.shared = memory.address
        self._pump.data = self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._spool))
        self.memory = memory
        self.left_behind = memory.undelivered  # spans that another collector was killed with
        self._chunks: deque[bytes] = deque()  # the pipe's

    def start(self) -> None:
        for work in (self._run_pump, self._read_pipe):
            threading.Thread(target=work, name="rbinder-inbox", daemon=True).start()

    def take(self, timeout: float | None) -> bytes:
        """The next bytes; none after `timeout` seconds (None: wait for ever) or when all was taken at the end."""
        if self._chunks:
            return self._chunks.popleft()
        seconds = FOREVER if timeout is None else timeout
        wait = 0 if self.ended else max(1, int(seconds * 1000)) if seconds > 0 else 0
        count = self._library.pump_available(self._pump, PIECE, wait)
        if not count:
            return self._chunks.popleft() if self._chunks else b""
        count, data = self.through(self._address + self._pump.taken % self._pump.size, count)
        self._library.pump_took(self._pump, count)
        return data

    def take_directly(self) -> None:
        """Through nothing more."""
        self.through = unchanged

    @property
    def exhausted(self) -> bool:
        """All bytes that will ever come have been taken."""
        return self.ended and not self._chunks and self._pump.taken == self._pump.written

    @property
    def lost_requests(self) -> int:
        """Of what producers didn't finish or has no sense, those known to be requests."""
        count: int = self._pump.reader.abandoned_requests
        return count

    def mark(self) -> Mark:
        """For `is_past`: whatever is in the ring now."""
        return Mark(self.memory.head)

    def is_past(self, mark: Mark) -> bool:
        """Whether all that was in the ring at that mark has been taken."""
        pump = self._pump
        if mark.spooled < 0:
            if not self.ended and pump.passed < mark.position:
                return False
            mark.spooled = pump.written
        return pump.taken >= mark.spooled

    def _run_pump(self) -> None:
        self._library.pump_run(self._pump)
        self.memory.detach()
        self.ended = True
        self._library.pump_kick(self._pump)

    def _read_pipe(self) -> None:
        cut = b""
        while chunk := self._read():
            cut += chunk
            if size := whole(cut):
                self._chunks.append(cut[:size])
                cut = cut[size:]
                self._library.pump_kick(self._pump)
        self._library.pump_end(self._pump)

    def _read(self) -> bytes:
        try:
            return os.read(self._source, READ_SIZE)
        except OSError:
            return b""


def whole(data: bytes) -> int:
    """How many of the bytes are whole records; all, where they make no sense."""
    at = 0
    while len(data) - at >= HEADER.size:
        size = int.from_bytes(data[at : at + 4], "little")
        if size < HEADER.size:
            return len(data)
        if at + size > len(data):
            break
        at += size
    return at
