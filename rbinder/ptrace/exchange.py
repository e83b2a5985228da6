"""Exchanging a tracee's system call for another: sending pieces in place of a buffer, and asking for memory.

At the entry stop the registers are set to the other call; at its exit stop they are set back, so that the program finds
its own registers and a result in its own terms. A restarted call (ERESTARTSYS) is restarted as the program's own.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
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

_MSG_DONTWAIT = 0x40  # linux/socket.h
_ERESTARTSYS = -512  # linux/errno.h
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
    before.copy().set_call(number, arguments)
    connection.writer = tracee.tid

    def finish(tracee: Tracee, result: int) -> None:
        space.release(slot)
        connection.writer = 0
        told = engine.sent(tracee, connection, plan, result)
        if result > 0 and told == -errno.EAGAIN and _waits(tracee, before, name):
            _go_on_waiting(tracee, before)
            return
        if name == "sendmmsg" and told > 0:
            memory.set_message_length(tracee.tid, before.argument(1), told)
            told = 1
        before.leave_call(told)

    tracee.finish = finish
    return True


def _waits(tracee: Tracee, call: Registers, name: str) -> bool:
    """Whether the program's call is one that waits for room rather than to fail with EAGAIN."""
    if name not in ("write", "writev") and _flags(call, name) & _MSG_DONTWAIT:
        return False
    descriptor = call.argument(0) & 0xFFFFFFFF
    fields = _proc_fields(f"/proc/{tracee.process.tgid}/fdinfo/{descriptor}")
    return "flags" in fields and not int(fields["flags"], 8) & os.O_NONBLOCK


def _go_on_waiting(tracee: Tracee, before: Registers) -> None:
    """Part of our bytes was sent, none of the program's, then the call was interrupted: a kernel that had sent nothing
    would say ERESTARTSYS, and restart it or not, as the signal's handler wants it."""
    fields = _proc_fields(f"/proc/{tracee.tid}/status")
    pending = int(fields.get("SigPnd", "0"), 16) | int(fields.get("ShdPnd", "0"), 16)
    if pending & ~int(fields.get("SigBlk", "0"), 16):
        before.leave_call(_ERESTARTSYS)
    else:
        before.repeat_call()


def send_first_message(engine: Engine, tracee: Tracee, then: Callable[[Tracee, int], None]) -> None:
    """Let the tracee's sendmmsg send its first message alone; `then` gets the result."""
    before = Registers(tracee.tid, engine.layout)
    arguments = (before.argument(0), before.argument(1), 1, before.argument(3))
    before.copy().set_call(engine.numbers["sendmmsg"], arguments)

    def finish(tracee: Tracee, result: int) -> None:
        then(tracee, result)
        before.leave_call(result)

    tracee.finish = finish


def _proc_fields(path: str) -> dict[str, str]:
    """The lines "name:\tvalue" of a file in /proc; none where it can't be read."""
    try:
        with open(path) as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except OSError:
        return {}


def _message(tid: int, registers: Registers, name: str) -> bytes:
    """The struct msghdr that the program sends, or the one that says the same as its sendto."""
    if name in ("sendmsg", "sendmmsg"):
        return memory.read(tid, registers.argument(1), scratch.MESSAGE_SIZE).ljust(scratch.MESSAGE_SIZE, b"\0")
    if name == "sendto":
        return b"".join(registers.argument(index).to_bytes(8, "little") for index in (4, 5)).ljust(56, b"\0")
    return bytes(scratch.MESSAGE_SIZE)


def _call(engine: Engine, before: Registers, name: str, address: int, count: int) -> tuple[int, tuple[int, ...]]:
    descriptor = before.argument(0)
    if name in ("write", "writev"):
        return engine.numbers["writev"], (descriptor, address + scratch.MESSAGE_SIZE, count)
    return engine.numbers["sendmsg"], (descriptor, address, _flags(before, name))


def _flags(call: Registers, name: str) -> int:
    return call.argument(2 if name == "sendmsg" else 3)


def map_scratch(engine: Engine, tracee: Tracee) -> None:
    """In place of the call the tracee is about to make, map the scratch pages; then the call is entered once more."""
    before = Registers(tracee.tid, engine.layout)
    arguments = (0, scratch.SIZE, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS_NORESERVE, 0xFFFFFFFFFFFFFFFF, 0)
    before.copy().set_call(engine.numbers["mmap"], arguments)
    space = tracee.process.scratch

    def finish(tracee: Tracee, result: int) -> None:
        if space.address <= 0:  # else another thread was faster: one mapping is enough
            space.address = -1 if -4096 < result <= 0 else result & 0xFFFFFFFFFFFFFFFF
        before.repeat_call()

    tracee.finish = finish
