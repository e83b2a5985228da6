"""A few pages inside the tracee that rbinder asked the kernel for: where inserted bytes lie while they are sent.

Never the tracee's stack: goroutines, coroutines and signal stacks have no room below the stack pointer.
"""

from __future__ import annotations

import struct

from rbinder.binder.edits import Piece
from rbinder.ptrace import memory
from rbinder.ptrace.memory import IOV_MAX, Buffers

SLOT = 1 << 15  # bytes; untouched pages cost nothing
SLOTS = 64  # threads of one address space that can send an edited request at the same time
SIZE = SLOT * SLOTS
MESSAGE_SIZE = 56  # struct msghdr, 64-bit: name, length; iovec array, count; control data, length; flags


class Scratch:
    """The slots of one address space. `address` is 0 until the mapping is made, -1 where it was refused."""

    __slots__ = ("_free", "address")

    def __init__(self) -> None:
        self.address = 0
        self._free = list(range(SLOTS))

    def copy(self) -> Scratch:
        """What a forked child finds at the same place."""
        other = Scratch()
        other.address = max(self.address, 0)  # a mapping that was just being made is the parent's alone
        return other

    def take(self) -> int:
        """A free slot's number, -1 for none."""
        return self._free.pop() if self._free and self.address > 0 else -1

    def release(self, slot: int) -> None:
        """The slot's bytes have been sent."""
        self._free.append(slot)


def lay_out(tid: int, address: int, buffers: Buffers, pieces: list[Piece], message: bytes) -> int:
    """Write a struct msghdr, its iovec array and our bytes into the slot at `address`.

    `message` is the program's own struct msghdr (56 bytes), whose name, control data and flags are kept. Returns the
    array's length, 0 where it doesn't fit or can't be written. The header is at `address`, the array at `address + 56`.
    """
    vectors: list[tuple[int, int]] = []
    own = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    entries = sum(1 if isinstance(piece, bytes) else len(buffers.piece(*piece)) for piece in pieces)
    at = address + MESSAGE_SIZE + 16 * entries
    if entries > IOV_MAX or at + len(own) > address + SLOT:
        return 0
    for piece in pieces:
        if isinstance(piece, bytes):
            vectors.append((at, len(piece)))
            at += len(piece)
        else:
            vectors.extend(buffers.piece(*piece))
    array = b"".join(struct.pack("<QQ", base, length) for base, length in vectors)
    header = message[:16] + struct.pack("<QQ", address + MESSAGE_SIZE, entries) + message[32:MESSAGE_SIZE]
    return entries if memory.write(tid, address, header + array + own) else 0
