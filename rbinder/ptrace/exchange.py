"""Exchanging a tracee's system call for another: sending pieces in place of a buffer, and asking for memory.

At the entry stop the registers are set to the other call; at its exit stop they are set back, so that the program finds
its own registers and a result in its own terms. A restarted call (ERESTARTSYS) is restarted as the program's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rbinder.binder.edits import pieces
from rbinder.ptrace import memory, scratch
from rbinder.ptrace.arch import Registers
from rbinder.ptrace.memory import Buffers

if TYPE_CHECKING:
    from rbinder.binder.plans import Plan
    from rbinder.ptrace.connections import Connection
    from rbinder.ptrace.engine import Engine
    from rbinder.ptrace.tracee import Tracee

_PROT_READ_WRITE = 0x1 | 0x2  # mman.h
_MAP_PRIVATE_ANONYMOUS_NORESERVE = 0x02 | 0x20 | 0x4000


def send_pieces(engine: Engine, tracee: Tracee, connection: Connection, plan: Plan, name: str) -> bool:
    """Make the pieces of `plan` of the call `name` the tracee is about to make; False: nothing was changed."""
    space = tracee.process.scratch
    slot = space.take()
    if slot < 0:
        return False
    before = Registers(tracee.tid, engine.layout)
    address = space.address + slot * scratch.SLOT
    assert isinstance(plan.source, Buffers)
    message = _message(tracee.tid, before, name)
    count = scratch.lay_out(tracee.tid, address, plan.source, pieces(plan.edits, plan.source.total), message)
    if not count:
        space.release(slot)
        return False
    number, arguments = _call(engine, before, name, address, count)
    Registers(tracee.tid, engine.layout).set_call(number, arguments)
    connection.writer = tracee.tid

    def finish(tracee: Tracee, result: int) -> None:
        space.release(slot)
        connection.writer = 0
        told = engine.sent(tracee, connection, plan, result)
        Registers(tracee.tid, engine.layout).restore_call(before, told)

    tracee.finish = finish
    return True


def _message(tid: int, registers: Registers, name: str) -> bytes:
    """The struct msghdr that the program sends, or the one that says the same as its sendto."""
    if name == "sendmsg":
        return memory.read(tid, registers.argument(1), scratch.MESSAGE_SIZE).ljust(scratch.MESSAGE_SIZE, b"\0")
    if name == "sendto":
        return b"".join(registers.argument(index).to_bytes(8, "little") for index in (4, 5)).ljust(56, b"\0")
    return bytes(scratch.MESSAGE_SIZE)


def _call(engine: Engine, before: Registers, name: str, address: int, count: int) -> tuple[int, tuple[int, ...]]:
    descriptor = before.argument(0)
    if name in ("write", "writev"):
        return engine.numbers["writev"], (descriptor, address + scratch.MESSAGE_SIZE, count)
    flags = before.argument(2 if name == "sendmsg" else 3)
    return engine.numbers["sendmsg"], (descriptor, address, flags)


def map_scratch(engine: Engine, tracee: Tracee) -> None:
    """In place of the call the tracee is about to make, map the scratch pages; then the call is entered once more."""
    before = Registers(tracee.tid, engine.layout)
    arguments = (0, scratch.SIZE, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS_NORESERVE, 0xFFFFFFFFFFFFFFFF, 0)
    Registers(tracee.tid, engine.layout).set_call(engine.numbers["mmap"], arguments)
    space = tracee.process.scratch
    space.address = -1  # not twice, whatever becomes of it

    def finish(tracee: Tracee, result: int) -> None:
        if result > 0 or result < -4095:
            space.address = result & 0xFFFFFFFFFFFFFFFF
        Registers(tracee.tid, engine.layout).repeat_call(before)

    tracee.finish = finish
