"""The shared memory as the collector sees it: its counters, and where the ring stands."""

from __future__ import annotations

import ctypes
import mmap
import os

from rbinder.agent import contract


class SharedMemory:
    """A mapping of the memory behind a descriptor. Raises contract.Mismatch, OSError."""

    def __init__(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        if size < contract.HEADER_SIZE:
            raise contract.Mismatch("the shared memory is too small")
        self._map = mmap.mmap(descriptor, size)
        self.settings = contract.parse(self._map[: contract.OPEN])
        if self.settings.size != size:
            raise contract.Mismatch("the shared memory's size isn't what it says")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def detach(self) -> None:
        """Nobody will take records any more: agents write none from now on."""
        self._map[contract.DETACHED : contract.DETACHED + 4] = (1).to_bytes(4, "little")

    @property
    def head(self) -> int:
        return self._read(contract.HEAD, 8)

    @property
    def dropped(self) -> int:
        return self._read(contract.DROPPED, 8)

    @property
    def refused(self) -> int:
        return self._read(contract.REFUSED, 4)

    @property
    def passed(self) -> int:
        return self._read(contract.PASSED, 8)

    @property
    def undelivered(self) -> int:
        """Spans that have been asked for by records that left the ring, and that nobody has delivered yet."""
        return max(0, self._read(contract.REQUESTS, 8) - self._read(contract.DELIVERED, 8))

    def deliver(self, count: int) -> None:
        """So many more spans have been delivered; called by one thread of one process."""
        now = self._read(contract.DELIVERED, 8) + count & (1 << 64) - 1
        self._map[contract.DELIVERED : contract.DELIVERED + 8] = now.to_bytes(8, "little")

    @property
    def lost_spans(self) -> int:
        """Spans that there will not be, since the memory was made: for want of room in the ring, or in an agent."""
        return self._read(contract.DROPPED_REQUESTS, 8) + self._read(contract.UNTRACED, 8)

    def _read(self, offset: int, size: int) -> int:
        return int.from_bytes(self._map[offset : offset + size], "little")
