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
from rbinder.ptrace.exchange import map_scratch
from rbinder.ptrace.lookups import Lookup
from rbinder.ptrace.transfer import (
    MSG_TRUNC,
    NOT_OF_THE_STREAM,
    NOT_TO_TOUCH,
    as_int,
    move,
    receive,
    receive_messages,
    send,
    send_messages,
)

if TYPE_CHECKING:
    from rbinder.ptrace.engine import Engine
    from rbinder.ptrace.tracee import Tracee

Arguments = tuple[int, ...]
Handler = Callable[["Engine", "Tracee", Arguments], None]

CLOSE_RANGE_CLOEXEC = 4  # linux/close_range.h


# -- receiving


def read(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    descriptor, buffer, size = arguments[:3]
    if size:
        receive(engine, tracee, descriptor, lambda: [(buffer, size)])


def readv(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    receive(engine, tracee, arguments[0], lambda: memory.vectors(tracee.tid, arguments[1], arguments[2]))


def recvfrom(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    descriptor, buffer, size, flags = arguments[:4]
    if size and not flags & NOT_OF_THE_STREAM:
        receive(engine, tracee, descriptor, lambda: [(buffer, size)], dropped=bool(flags & MSG_TRUNC))


def recvmsg(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    descriptor, message, flags = arguments[:3]
    if not flags & NOT_OF_THE_STREAM:
        dropped = bool(flags & MSG_TRUNC)
        receive(engine, tracee, descriptor, lambda: memory.message_vectors(tracee.tid, message), dropped)


def recvmmsg(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    if not arguments[3] & (NOT_OF_THE_STREAM | MSG_TRUNC):
        receive_messages(engine, tracee, arguments[0], arguments[1])


# -- sending


def write(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    send(engine, tracee, arguments[0], lambda: [(arguments[1], arguments[2])], "write")


def writev(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    send(engine, tracee, arguments[0], lambda: memory.vectors(tracee.tid, arguments[1], arguments[2]), "writev")


def sendto(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    if arguments[4]:
        engine.watch_lookup(tracee, as_int(arguments[0]), arguments[4], arguments[5])
    if arguments[3] & NOT_TO_TOUCH:
        engine.hands_off(tracee, as_int(arguments[0]))
    else:
        send(engine, tracee, arguments[0], lambda: [(arguments[1], arguments[2])], "sendto")


def sendmsg(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    if arguments[2] & NOT_TO_TOUCH:
        engine.hands_off(tracee, as_int(arguments[0]))
    else:
        send(engine, tracee, arguments[0], lambda: memory.message_vectors(tracee.tid, arguments[1]), "sendmsg")


def sendmmsg(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    descriptor, messages, count, flags = arguments[:4]
    if flags & NOT_TO_TOUCH:
        engine.hands_off(tracee, as_int(descriptor))
    elif count & 0xFFFFFFFF:
        send_messages(engine, tracee, descriptor, messages, count & 0xFFFFFFFF)


def sendfile(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    move(engine, tracee, arguments[0], inbound=False)


def splice(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    move(engine, tracee, arguments[0], inbound=True)
    if tracee.finish is None:
        move(engine, tracee, arguments[2], inbound=False)


# -- descriptors


def close(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    engine.closed(tracee, as_int(arguments[0]))


def close_range(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    if not arguments[2] & CLOSE_RANGE_CLOEXEC:
        first, last = arguments[0] & 0xFFFFFFFF, arguments[1] & 0xFFFFFFFF
        for descriptor in [fd for fd in tracee.process.descriptors.entries if first <= fd <= last]:
            engine.closed(tracee, descriptor)


def dup(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    connection = engine.lookup(tracee, as_int(arguments[0]))
    if connection is not None:
        tracee.finish = lambda tracee, result: engine.opened(tracee, result, connection)


def dup2(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    old, new = as_int(arguments[0]), as_int(arguments[1])
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
    descriptor = as_int(arguments[0])
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
        if result in (0, -errno.EINPROGRESS, -errno.EINTR):
            connection.dialogue.starts(time.monotonic_ns())
        if result == -errno.EINPROGRESS:
            connection.connecting = True
        elif result in (0, -errno.EISCONN):
            engine.connected(connection, 0)
        elif result < 0 and result not in (-errno.EALREADY, -errno.EINTR, -errno.EAGAIN) and result > -512:
            engine.connected(connection, -result, tracee)

    tracee.finish = finish


def getsockopt(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    """SOL_SOCKET, SO_ERROR: how a non-blocking connect turned out."""
    connection = engine.lookup(tracee, as_int(arguments[0]))
    if connection is None or isinstance(connection, Lookup) or not connection.connecting:
        return

    def finish(tracee: Tracee, result: int) -> None:
        data = memory.read(tracee.tid, arguments[3], 4)
        if result == 0 and len(data) == 4:
            engine.connected(connection, struct.unpack("<i", data)[0], tracee)

    tracee.finish = finish


def shutdown(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    connection = engine.lookup(tracee, as_int(arguments[0]))
    if connection is not None and not isinstance(connection, Lookup) and as_int(arguments[1]) != 0:
        connection.dialogue.eof(inbound=False, now=time.monotonic_ns())


# -- what changes the rules


def seccomp(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    """The program restricts itself: a call exchanged for another might be one it forbids."""
    tracee.process.sandboxed = True


def preadv2(engine: Engine, tracee: Tracee, arguments: Arguments) -> None:
    engine.hands_off(tracee, as_int(arguments[0]))


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
    "preadv2": preadv2,
    "pwritev2": preadv2,
    "io_uring_setup": io_uring_setup,
    "ptrace": nested.ptrace,
}
