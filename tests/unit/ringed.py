"""A ring for the tests: its memory, its producers (tests/native/ring_driver.c), and a reader of it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from rbinder.agent import contract, pump
from rbinder.agent.memory import SharedMemory
from rbinder.records import HEADER

SECOND = 1_000_000_000


@dataclass
class Delivered:
    """A record as ring_driver.c makes it: whose, its number, and whether the bytes after it are what they should be."""

    pid: int
    number: int
    sound: bool


class Ring:
    """`patience` in seconds."""

    def __init__(self, driver: Path, capacity: int = contract.CAPACITY) -> None:
        settings = contract.Settings(os.urandom(16), 0, 1 << 64, True, capacity=capacity)
        self.descriptor = os.memfd_create("ring")
        os.ftruncate(self.descriptor, settings.size)
        os.pwrite(self.descriptor, contract.initial(settings), 0)
        self.memory = SharedMemory(self.descriptor)
        self.reader = pump.Reader(shared=self.memory.address)
        self._driver = driver
        self._library = pump.load()

    def start(self, *words: object) -> subprocess.Popen[bytes]:
        """A producer process."""
        own = os.dup(self.descriptor)
        try:
            command, pipe = [str(self._driver), *map(str, words)], subprocess.PIPE
            return subprocess.Popen(command, env={"RING": str(own)}, pass_fds=[own], stdin=pipe, stdout=pipe, bufsize=0)
        finally:
            os.close(own)

    def do(self, *words: object) -> str:
        """A producer process that has ended well; what it said."""
        process = self.start(*words)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return said.decode()

    def drain(self, room: int = 1 << 20, now: int | None = None, patience: float = 60.0) -> bytes:
        """What reader_drain gives."""
        buffer = ctypes.create_string_buffer(room)
        moment = time.monotonic_ns() if now is None else now
        count = self._library.reader_drain(self.reader, buffer, room, moment, int(patience * SECOND))
        return buffer.raw[:count]

    def take_over(self) -> None:
        """Go on with a new reader."""
        self.reader = pump.Reader(shared=self.memory.address)

    @property
    def empty(self) -> bool:
        return bool(self._library.reader_empty(self.memory.address))

    def number(self, place: int) -> int:
        """Of the header."""
        return int.from_bytes(os.pread(self.descriptor, 8, place), "little")

    @property
    def fill(self) -> int:
        """Bytes in use."""
        return self.number(contract.HEAD) - self.number(contract.TAIL)

    def is_zero(self) -> bool:
        """Whether all of the ring's data is zeros, as free memory must be."""
        return not any(os.pread(self.descriptor, self.memory.settings.capacity, contract.HEADER_SIZE))

    def close(self) -> None:
        os.close(self.descriptor)


def split(data: bytes) -> list[Delivered]:
    """The driver's records; fails on anything that is none."""
    found, at = [], 0
    while at < len(data):
        size, kind, version, number, pid, *_ = HEADER.unpack_from(data, at)
        assert (version, kind) == (1, 5 if number % 4 == 0 else 7)
        payload = data[at + HEADER.size : at + size]
        expected = number.to_bytes(4, "little") + bytes((number + i) & 0xFF for i in range(4, min(len(payload), 32)))
        found.append(Delivered(pid, number, payload[:32] == expected))
        at += size
    assert at == len(data)
    return found
