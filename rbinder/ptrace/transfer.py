"""What the calls that move bytes have in common: following what was received, changing what is to be sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rbinder.ptrace import memory
from rbinder.ptrace.exchange import map_scratch, send_first_message, send_pieces
from rbinder.ptrace.lookups import Lookup
from rbinder.ptrace.memory import MESSAGE_VECTOR, Buffers, Vectors, message_length

if TYPE_CHECKING:
    from rbinder.binder.plans import Plan
    from rbinder.ptrace.connections import Connection
    from rbinder.ptrace.engine import Engine
    from rbinder.ptrace.tracee import Tracee

# linux/socket.h
MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_ERRQUEUE, MSG_ZEROCOPY = 0x1, 0x2, 0x20, 0x2000, 0x4000000
NOT_OF_THE_STREAM = MSG_PEEK | MSG_OOB | MSG_ERRQUEUE  # what is received so, the stream still holds or never held
NOT_TO_TOUCH = MSG_ZEROCOPY | MSG_OOB


def as_int(value: int) -> int:
    """A register's low half as a C int."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def receive(
    engine: Engine, tracee: Tracee, descriptor: int, vectors: Callable[[], Vectors], dropped: bool = False
) -> None:
    """A call is about to receive into the buffers `vectors` tells; with `dropped` a stream's bytes are thrown away."""
    connection = engine.lookup(tracee, as_int(descriptor))
    if connection is None:
        return
    if dropped and not isinstance(connection, Lookup):
        _follow_moved(tracee, connection, inbound=True)
        return

    def finish(tracee: Tracee, result: int) -> None:
        if result < 0:
            engine.broken(tracee, connection, -result, reading=True)
            return
        buffers = Buffers(tracee.tid, vectors())
        if result:
            engine.received(tracee, connection, buffers, result)
        elif buffers.total:
            engine.ended(tracee, connection)

    tracee.finish = finish


def receive_messages(engine: Engine, tracee: Tracee, descriptor: int, messages: int) -> None:
    """recvmmsg(2) is about to receive into an array of struct mmsghdr."""
    connection = engine.lookup(tracee, as_int(descriptor))
    if connection is None:
        return

    def finish(tracee: Tracee, result: int) -> None:
        for address in (messages + index * MESSAGE_VECTOR for index in range(result)):
            count = message_length(tracee.tid, address)
            if count > 0:
                buffers = Buffers(tracee.tid, memory.message_vectors(tracee.tid, address))
                engine.received(tracee, connection, buffers, count)

    tracee.finish = finish


def _connection(engine: Engine, tracee: Tracee, descriptor: int) -> Connection | None:
    """The connection a call is about to send on."""
    connection = engine.lookup(tracee, as_int(descriptor))
    if isinstance(connection, Lookup):
        connection.asked(time.monotonic_ns())
        return None
    return connection


def send(engine: Engine, tracee: Tracee, descriptor: int, vectors: Callable[[], Vectors], name: str) -> None:
    """The call `name` is about to send the buffers `vectors` tells."""
    connection = _connection(engine, tracee, descriptor)
    if connection is None:
        return
    buffers = Buffers(tracee.tid, vectors())
    if not buffers.total:
        return
    plan = engine.plan(tracee, connection, buffers)
    if plan is None or plan.settled:
        return
    if plan.edits:
        _exchange(engine, tracee, connection, plan, name)
        return

    def finish(tracee: Tracee, result: int) -> None:
        engine.sent(tracee, connection, plan, result)

    tracee.finish = finish


def send_messages(engine: Engine, tracee: Tracee, descriptor: int, messages: int, count: int) -> None:
    """sendmmsg(2) is about to send an array of `count` struct mmsghdr.

    On a connection the first of them is sent alone, as the kernel too may do: the result tells how many it was.
    """
    connection = _connection(engine, tracee, descriptor)
    if connection is None:
        return
    if tracee.process.sandboxed:
        engine.hands_off(tracee, as_int(descriptor))
        return
    buffers = Buffers(tracee.tid, memory.message_vectors(tracee.tid, messages))
    plan = engine.plan(tracee, connection, buffers) if buffers.total else None
    if plan is not None and plan.edits:
        _exchange(engine, tracee, connection, plan, "sendmmsg")
        return
    if connection.dialogue.settled:
        return

    def finish(tracee: Tracee, result: int) -> None:
        if plan is not None and not plan.settled:
            engine.sent(tracee, connection, plan, message_length(tracee.tid, messages) if result > 0 else result)

    if count > 1:
        send_first_message(engine, tracee, finish)
    else:
        tracee.finish = finish


def _exchange(engine: Engine, tracee: Tracee, connection: Connection, plan: Plan, name: str) -> None:
    """Make the plan's edits, or have the memory mapped that this needs: then the call is made once more."""
    if tracee.process.scratch.address == 0:  # the connection came from another process
        map_scratch(engine, tracee)
    elif not send_pieces(engine, tracee, connection, plan, name):
        engine.not_edited(connection, plan)


def move(engine: Engine, tracee: Tracee, descriptor: int, inbound: bool) -> None:
    """A call is about to move bytes of a connection past the program's memory."""
    connection = engine.lookup(tracee, as_int(descriptor))
    if connection is not None and not isinstance(connection, Lookup):
        _follow_moved(tracee, connection, inbound)


def _follow_moved(tracee: Tracee, connection: Connection, inbound: bool) -> None:
    tracee.finish = lambda tracee, result: connection.dialogue.moved(result, inbound, time.monotonic_ns())
