"""The ptrace engine's knowledge and what it does with an observed call; `loop` feeds it with stops."""

from __future__ import annotations

import errno
import time
from collections import Counter
from typing import TYPE_CHECKING

from rbinder.binder.binder import Binder
from rbinder.binder.dialogue import Dialogue
from rbinder.binder.plans import Plan
from rbinder.channel import Sink
from rbinder.ptrace import memory
from rbinder.ptrace.arch import LAYOUTS
from rbinder.ptrace.connections import (
    Address,
    Connection,
    Connections,
    Inspector,
    parse_address,
    socket_inode,
)
from rbinder.ptrace.failures import ERROR_TYPES, FailedConnects
from rbinder.ptrace.lookups import PORT, Lookup
from rbinder.ptrace.memory import Buffers
from rbinder.ptrace.subscriptions import numbers
from rbinder.ptrace.tracee import Tracee
from rbinder.records import Kind, Note, Payload, ProcessInfo, Record, Side

if TYPE_CHECKING:
    from rbinder.ptrace.family import Family


class Engine:
    """What is known of the traced programs' sockets, and the records made of it."""

    def __init__(self, architecture: str, binder: Binder, sink: Sink, service_name: str = "") -> None:
        self.numbers = numbers(architecture)
        self.layout = LAYOUTS[architecture]
        self.binder = binder
        self.sink = sink
        self.stops: Counter[str] = Counter()
        self.failures = FailedConnects(self)
        self._service_name = service_name
        self._connections = Connections()
        self._inspector = Inspector(self.numbers["pidfd_getfd"])
        self._identity = 0
        self._by_identity: dict[int, Connection] = {}
        self._said: set[str] = set()
        self.current: Tracee | None = None  # whose stop is being dealt with
        self.family: Family = None  # type: ignore[assignment]  # set by the loop
        self.filtered = True
        self.missed: list[tuple[int, int]] = []  # wait statuses taken out of turn

    # -- descriptors

    def lookup(self, tracee: Tracee, descriptor: int) -> Connection | Lookup | None:
        """The connection behind a descriptor; None for whatever isn't one of interest."""
        table = tracee.process.descriptors
        if descriptor not in table.entries or not table.certain:
            found = self._identify(tracee, descriptor)
        else:
            found = table.entries[descriptor]
        if found.__class__ is Connection and found.dialogue.settled:
            return None
        return found

    def _identify(self, tracee: Tracee, descriptor: int) -> Connection | Lookup | None:
        tgid, table = tracee.process.tgid, tracee.process.descriptors
        inode = socket_inode(tgid, descriptor)
        before = table.entries.get(descriptor)
        if isinstance(before, Connection) and before.inode == inode:
            return before
        if descriptor in table.entries:
            self.closed(tracee, descriptor)
        connection = None
        if inode is not None:
            connection = self._connections.find(inode)
            if connection is None and self._inspector.is_stream(tgid, descriptor):
                connection = self._new(inode, known_start=False)
        if connection is not None:
            self._by_identity[connection.dialogue.identity] = connection
        self._hold(tracee, descriptor, connection)
        return connection

    def _new(self, inode: str, known_start: bool) -> Connection:
        self._identity += 1
        connection = Connection(inode, Dialogue(self.binder, self._emit, self._identity, known_start))
        self._by_identity[self._identity] = connection
        self._connections.add(connection)
        return connection

    def _hold(self, tracee: Tracee, descriptor: int, connection: Connection | Lookup | None) -> None:
        tracee.process.descriptors.entries[descriptor] = connection
        if connection is not None:
            connection.holders += 1

    def opened(self, tracee: Tracee, descriptor: int, connection: Connection | Lookup | None) -> None:
        """A new descriptor of a known connection (negative: the call failed)."""
        if descriptor >= 0:
            self.closed(tracee, descriptor)
            self._hold(tracee, descriptor, connection)

    def closed(self, tracee: Tracee, descriptor: int) -> None:
        """A descriptor is gone from its table."""
        connection = tracee.process.descriptors.entries.pop(descriptor, None)
        if connection is not None:
            self.released(connection)

    def released(self, connection: Connection | Lookup) -> None:
        """A table has lost a descriptor of the connection."""
        connection.holders -= 1
        if connection.holders > 0 or isinstance(connection, Lookup):
            return
        dialogue, now = connection.dialogue, time.monotonic_ns()
        dialogue.closing(now)
        if connection.connecting and self.current is not None:
            self.connected(connection, errno.ETIMEDOUT, self.current)  # given up before it was decided
        dialogue.closed(now)
        if connection.announced:
            self.sink.put(Record(Kind.CONNECTION_CLOSED, now, *self._whose(), dialogue.identity))
        self._by_identity.pop(dialogue.identity, None)
        self._connections.linger(connection)

    def hands_off(self, tracee: Tracee, descriptor: int) -> None:
        """The program sends in a way that must not be touched."""
        connection = self.lookup(tracee, descriptor)
        if isinstance(connection, Connection):
            connection.dialogue.give_up(now=time.monotonic_ns())

    # -- connections

    def accepted(self, tracee: Tracee, descriptor: int, address: int, length: int) -> None:
        """accept(2) has returned; `address` and `length` are its arguments."""
        if descriptor < 0:
            return
        tracee.process.recognise()
        self.closed(tracee, descriptor)
        tgid = tracee.process.tgid
        inode = socket_inode(tgid, descriptor)
        if inode is None:
            return
        connection = self._new(inode, known_start=True)
        self._hold(tracee, descriptor, connection)
        if address and length:
            size = int.from_bytes(memory.read(tracee.tid, length, 4), "little")
            connection.address = parse_address(memory.read(tracee.tid, address, min(size, 128)))[1]
        if connection.address in (None, ("", 0)):
            connection.address = self._inspector.peer(tgid, descriptor)

    def connecting(self, tracee: Tracee, connection: Connection, address: Address) -> None:
        """connect(2) is about to be made on a stream socket."""
        connection.connect_start = now = time.monotonic_ns()
        connection.address = connection.dialogue.peer = address
        connection.lookup = tracee.process.answers.take(address[0], now)
        connection.dialogue.connecting(tracee.thread)

    def connected(self, connection: Connection, error: int, tracee: Tracee | None = None) -> None:
        """A connect has come to its end: 0, or an errno."""
        connection.connecting = False
        connection.connect_end = time.monotonic_ns()
        connection.error = error
        if error not in (0, errno.ETIMEDOUT) and tracee is not None:
            tracee.thread.listens()
        if not error:
            self.failures.succeeded(connection)
        elif tracee is not None and error != errno.EINPROGRESS:
            self.failures.add(connection, tracee)

    def watch_lookup(self, tracee: Tracee, descriptor: int, address: int, length: int) -> None:
        """A datagram socket is used towards this address: a name server's?"""
        entries = tracee.process.descriptors.entries
        if entries.get(descriptor, self) is not None:
            return
        _, (host, port) = parse_address(memory.read(tracee.tid, address, min(length & 0xFFFFFFFF, 128)))
        if host and port == PORT:
            entries[descriptor] = lookup = Lookup()
            lookup.holders = 1

    # -- bytes

    def received(self, tracee: Tracee, connection: Connection | Lookup, buffers: Buffers, count: int) -> None:
        """A call has read `count` bytes."""
        now = time.monotonic_ns()
        if isinstance(connection, Lookup):
            tracee.process.answers.remember(connection.answered(buffers.read(0, min(count, 4096)), now))
            return
        connection.dialogue.received(tracee.thread, buffers, count, now)

    def ended(self, tracee: Tracee, connection: Connection | Lookup) -> None:
        """The peer sends no more."""
        if not isinstance(connection, Lookup):
            connection.dialogue.ended(tracee.thread, time.monotonic_ns())

    def broken(self, tracee: Tracee, connection: Connection | Lookup, error: int, reading: bool) -> None:
        """A call, that reads or that sends, has failed with this errno."""
        kind = ERROR_TYPES.get(error)
        if kind is None or isinstance(connection, Lookup):
            return
        if connection.connecting:
            self.connected(connection, error, tracee)
        connection.dialogue.broken(tracee.thread, kind, reading, time.monotonic_ns())

    def plan(self, tracee: Tracee, connection: Connection, buffers: Buffers) -> Plan | None:
        """What to do with a call that sends; None: leave it alone."""
        if connection.writer != tracee.tid and connection.writer in self.family.tracees:
            connection.dialogue.give_up(now=time.monotonic_ns())  # two threads write at once: no order to rely on
            return None
        if connection.connecting:
            self.connected(connection, 0)
        now = time.monotonic_ns()
        plan = connection.dialogue.plan(tracee.thread, buffers, now)
        if plan.settled and not connection.dialogue.opaque:
            connection.dialogue.sent(plan, buffers.total, now)
        elif tracee.process.sandboxed:
            plan.edits.clear()
        return plan

    def not_edited(self, connection: Connection, plan: Plan) -> None:
        """The plan's edits can't be made: the call goes through as it is."""
        connection.dialogue.untouched(plan)

    def sent(self, tracee: Tracee, connection: Connection, plan: Plan, result: int) -> int:
        """A call that was planned has returned `result`; returns what the program is told."""
        told = connection.dialogue.sent(plan, result, time.monotonic_ns())
        if result < 0:
            self.broken(tracee, connection, -result, reading=False)
        return told

    # -- records

    def _whose(self) -> tuple[int, int]:
        return (self.current.process.tgid, self.current.tid) if self.current else (0, 0)

    def _emit(self, dialogue: Dialogue, kind: Kind, now: int, exchange: bytes, payload: Payload) -> None:
        pid, tid = self._whose()
        connection = self._by_identity.get(dialogue.identity)
        if kind is Kind.REQUEST_HEAD and connection is not None and dialogue.side is not None:
            self.announce(connection, dialogue.side, now)
        self.sink.put(Record(kind, now, pid, tid, dialogue.identity, exchange, payload))

    def announce(self, connection: Connection, side: Side, now: int) -> None:
        """Tell of the process and the connection, once each."""
        if self.current is None:
            return
        process, pid = self.current.process, self.current.process.tgid
        if not process.announced:
            process.announced = True
            image = process.image
            info = ProcessInfo(
                process.parent, False, image.executable, image.arguments, image.directory, self._service_name
            )
            self.sink.put(Record(Kind.PROCESS, now, pid, self.current.tid, payload=info))
        if not connection.announced:
            connection.announced = True
            payload = connection.info(side)
            self.sink.put(
                Record(Kind.CONNECTION, now, pid, self.current.tid, connection.dialogue.identity, payload=payload)
            )

    def fault(self, error: Exception) -> None:
        """An error of ours: told once a kind, with its place; counted."""
        self.stops["fault"] += 1
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}" if trace else "?"
        self.say(f"a call could not be followed ({type(error).__name__} in {place}: {error}); the program goes on")

    def say(self, sentence: str) -> None:
        """Tell the user something, once."""
        if sentence not in self._said:
            self._said.add(sentence)
            self.sink.put(Record(Kind.NOTE, time.monotonic_ns(), *self._whose(), payload=Note(sentence)))
