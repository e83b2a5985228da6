"""What each subscribed system call means to the engine: one short function a call, and the table of them.

A function is called at the call's entry with its six arguments. It sets `tracee.finish` where the call's result is
needed (the engine then asks for the exit stop), and leaves the call alone otherwise.
"""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rbinder.ptrace import memory, nested
from rbinder.ptrace.connections import parse_address
from rbinder.ptrace.exchange import map_scratch, send_pieces
from rbinder.ptrace.lookups import Lookup
from rbinder.ptrace.memory import Buffers, Vectors

if TYPE_CHECKING:
    from rbinder.ptrace.engine import Engine
    from rbinder.ptrace.tracee import Tracee

Arguments = tuple[int, ...]
Handler = Callable[["Engine", "Tracee", Arguments], None]

# linux/socket.h
MSG_OOB, MSG_PEEK, MSG_ZEROCOPY = 0x1, 0x2, 0x4000000
_MESSAGE_VECTOR = 64  # struct mmsghdr: a struct msghdr, and the length of what went through
CLOSE_RANGE_CLOEXEC = 4  # linux/close_range.h


def _int(value: int) -> int:
    """A register's low half as a C int."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


# -- receiving


def _receive(engine: Engine, tracee: Tracee, descriptor: int, vectors: Callable[[], Vectors]) -> None:
    connection = engine.lookup(tracee, _int(descriptor))
    if connection is None:
        return

    def finish(tracee: Tracee, result: int) -> None:
        if result > 0:
            engine.received(tracee, connection, Buffers(tracee.tid, vectors()), result)
        elif result == 0:
            engine.ended(tracee, connection)
        else:
            engine.broken(tracee, connection, -result)

    tracee.finish = finish


def read(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    descriptor, buffer, size = arguments[:3]
    if size:
        _receive(engine, tracee, descriptor, lambda: [(buffer, size)])


def readv(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    _receive(engine, tracee, arguments[0], lambda: memory.vectors(tracee.tid, arguments[1], arguments[2]))


def recvfrom(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    descriptor, buffer, size, flags = arguments[:4]
    if size and not flags & (MSG_PEEK | MSG_OOB):
        _receive(engine, tracee, descriptor, lambda: [(buffer, size)])


def recvmsg(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    if not arguments[2] & (MSG_PEEK | MSG_OOB):
        _receive(engine, tracee, arguments[0], lambda: memory.message_vectors(tracee.tid, arguments[1]))


def recvmmsg(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    connection = engine.lookup(tracee, _int(arguments[0]))
    if connection is None or arguments[3] & (MSG_PEEK | MSG_OOB):
        return

    def finish(tracee: Tracee, result: int) -> None:
        for index in range(max(result, 0)):
            address = arguments[1] + index * _MESSAGE_VECTOR
            count = _message_length(tracee.tid, address)
            if count > 0:
                vectors = memory.message_vectors(tracee.tid, address)
                engine.received(tracee, connection, Buffers(tracee.tid, vectors), count)

    tracee.finish = finish


def _message_length(tid: int, address: int) -> int:
    """msg_len of a struct mmsghdr."""
    data = memory.read(tid, address + 56, 4)
    return int.from_bytes(data, "little")


# -- sending


def _send(engine: Engine, tracee: Tracee, descriptor: int, vectors: Callable[[], Vectors], name: str) -> None:
    connection = engine.lookup(tracee, _int(descriptor))
    if connection is None:
        return
    if isinstance(connection, Lookup):
        connection.asked(time.monotonic_ns())
        return
    buffers = Buffers(tracee.tid, vectors())
    if not buffers.total:
        return
    plan = engine.plan(tracee, connection, buffers)
    if plan is None or plan.settled:
        return
    if plan.edits and not send_pieces(engine, tracee, connection, plan, name):
        engine.not_edited(connection, plan)
    elif not plan.edits:

        def finish(tracee: Tracee, result: int) -> None:
            engine.sent(tracee, connection, plan, result)

        tracee.finish = finish


def write(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    _send(engine, tracee, arguments[0], lambda: [(arguments[1], arguments[2])], "write")


def writev(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    _send(engine, tracee, arguments[0], lambda: memory.vectors(tracee.tid, arguments[1], arguments[2]), "writev")


def sendto(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    if arguments[4]:
        engine.watch_lookup(tracee, _int(arguments[0]), arguments[4], arguments[5])
    if not arguments[3] & (MSG_ZEROCOPY | MSG_OOB):
        _send(engine, tracee, arguments[0], lambda: [(arguments[1], arguments[2])], "sendto")
    elif arguments[3] & MSG_ZEROCOPY:
        engine.hands_off(tracee, _int(arguments[0]))


def sendmsg(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    if not arguments[2] & (MSG_ZEROCOPY | MSG_OOB):
        _send(engine, tracee, arguments[0], lambda: memory.message_vectors(tracee.tid, arguments[1]), "sendmsg")
    elif arguments[2] & MSG_ZEROCOPY:
        engine.hands_off(tracee, _int(arguments[0]))


def sendmmsg(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    """Several messages in one call: followed, never edited."""
    connection = engine.lookup(tracee, _int(arguments[0]))
    if connection is None:
        return
    if isinstance(connection, Lookup):
        connection.asked(time.monotonic_ns())
        return
    connection.dialogue.known_start = False

    def finish(tracee: Tracee, result: int) -> None:
        for index in range(max(result, 0)):
            address = arguments[1] + index * _MESSAGE_VECTOR
            buffers = Buffers(tracee.tid, memory.message_vectors(tracee.tid, address))
            count = _message_length(tracee.tid, address)
            if count > 0 and (plan := engine.plan(tracee, connection, buffers)) is not None and not plan.settled:
                engine.sent(tracee, connection, plan, count)

    tracee.finish = finish


def sendfile(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    _moved(engine, tracee, arguments[0], inbound=False)


def splice(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    _moved(engine, tracee, arguments[0], inbound=True)
    if tracee.finish is None:
        _moved(engine, tracee, arguments[2], inbound=False)


def _moved(engine: Engine, tracee: Tracee, descriptor: int, inbound: bool) -> None:
    connection = engine.lookup(tracee, _int(descriptor))
    if connection is not None and not isinstance(connection, Lookup):
        tracee.finish = lambda tracee, result: connection.dialogue.moved(result, inbound, time.monotonic_ns())


# -- descriptors


def close(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    engine.closed(tracee, _int(arguments[0]))


def close_range(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    if not arguments[2] & CLOSE_RANGE_CLOEXEC:
        first, last = arguments[0] & 0xFFFFFFFF, arguments[1] & 0xFFFFFFFF
        for descriptor in [fd for fd in tracee.process.descriptors.entries if first <= fd <= last]:
            engine.closed(tracee, descriptor)


def dup(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    connection = engine.lookup(tracee, _int(arguments[0]))
    if connection is not None:
        tracee.finish = lambda tracee, result: engine.opened(tracee, result, connection)


def dup2(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    old, new = _int(arguments[0]), _int(arguments[1])
    if old == new:
        return
    connection = engine.lookup(tracee, old)

    def finish(tracee: Tracee, result: int) -> None:
        if result >= 0:
            engine.closed(tracee, new)
            engine.opened(tracee, result, connection)

    if connection is not None or new in tracee.process.descriptors.entries:
        tracee.finish = finish


# -- connections


def accept(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    tracee.finish = lambda tracee, result: engine.accepted(tracee, result, arguments[1], arguments[2])


def connect(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    _, address = parse_address(memory.read(tracee.tid, arguments[1], min(arguments[2] & 0xFFFFFFFF, 128)))
    if not address[0]:
        return
    descriptor = _int(arguments[0])
    connection = engine.lookup(tracee, descriptor)
    if connection is None:
        engine.watch_lookup(tracee, descriptor, arguments[1], arguments[2])
        return
    if isinstance(connection, Lookup):
        return
    if tracee.process.scratch.address == 0 and not tracee.process.sandboxed:
        map_scratch(engine, tracee)
        return
    engine.connecting(tracee, connection, address)

    def finish(tracee: Tracee, result: int) -> None:
        if result == -errno.EINPROGRESS:
            connection.connecting = True
        elif result in (0, -errno.EISCONN):
            engine.connected(connection, 0)
        elif result < 0 and result not in (-errno.EALREADY, -errno.EINTR, -errno.EAGAIN) and result > -512:
            engine.connected(connection, -result, tracee)

    tracee.finish = finish


def getsockopt(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    """SOL_SOCKET, SO_ERROR: how a non-blocking connect turned out."""
    connection = engine.lookup(tracee, _int(arguments[0]))
    if connection is None or isinstance(connection, Lookup) or not connection.connecting:
        return

    def finish(tracee: Tracee, result: int) -> None:
        data = memory.read(tracee.tid, arguments[3], 4)
        if result == 0 and len(data) == 4:
            engine.connected(connection, struct.unpack("<i", data)[0], tracee)

    tracee.finish = finish


def shutdown(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    connection = engine.lookup(tracee, _int(arguments[0]))
    if connection is not None and not isinstance(connection, Lookup) and _int(arguments[1]) != 0:
        connection.dialogue.eof(inbound=False, now=time.monotonic_ns())


# -- what changes the rules


def seccomp(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    """The program restricts itself: a call exchanged for another might be one it forbids."""
    tracee.process.sandboxed = True


def io_uring_setup(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    tracee.process.descriptors.certain = False
    engine.say("the program uses io_uring: what goes through its rings is not seen")


HANDLERS: dict[str, Handler] = {
    "read": read,
    "readv": readv,
    "recvfrom": recvfrom,
    "recvmsg": recvmsg,
    "recvmmsg": recvmmsg,
    "write": write,
    "writev": writev,
    "sendto": sendto,
    "sendmsg": sendmsg,
    "sendmmsg": sendmmsg,
    "sendfile": sendfile,
    "splice": splice,
    "close": close,
    "close_range": close_range,
    "dup": dup,
    "fcntl": dup,
    "dup2": dup2,
    "dup3": dup2,
    "accept": accept,
    "accept4": accept,
    "connect": connect,
    "getsockopt": getsockopt,
    "shutdown": shutdown,
    "prctl": seccomp,
    "seccomp": seccomp,
    "io_uring_setup": io_uring_setup,
    "ptrace": nested.ptrace,
}
