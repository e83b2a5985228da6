"""The record format: the sole contract between the engines and everything that makes spans of what they saw.

A record is one observed fact: a fixed header of 48 bytes and a payload, little-endian, packed back to back in a
stream. This file does no I/O.

    header  u32 size (header and payload, bytes) · u16 kind · u16 version
            u64 time (CLOCK_MONOTONIC, ns) · u32 pid (thread group) · u32 tid
            u64 connection (unique within one engine's life, 0: none) · 8 bytes exchange · u64 reserved

`exchange` is the span id the binder chose for a request and its response (8 zero bytes: none).
"""

from __future__ import annotations

import enum
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

VERSION = 1
HEADER = struct.Struct("<IHHQIIQ8sQ")
HEAD_LIMIT = 16384  # bytes of a message head that a record carries; what is longer is cut at a line's end
MAX_RECORD = 1 << 20  # bytes; a larger size field means a corrupt stream
NO_EXCHANGE = bytes(8)


class Kind(enum.IntEnum):
    """What happened. The comment names the payload class."""

    PROCESS = 1  # ProcessInfo: a process was started or replaced its image
    PROCESS_EXIT = 2  # ProcessExit
    CONNECTION = 3  # ConnectionInfo: accepted, connected, or the connect failed
    CONNECTION_CLOSED = 4  # Empty
    REQUEST_HEAD = 5  # RequestHead
    RESPONSE_HEAD = 6  # ResponseHead (never an interim 1xx one, but 101)
    MESSAGE_END = 7  # MessageEnd: request or response body complete
    EXCHANGE_FAILED = 8  # ExchangeFailed: there will be no (more) response
    LOST = 9  # Lost: records that were dropped before this one
    NOTE = 10  # Note: a sentence for the user, said once
    FLUSH = 11  # Empty: hand over everything you have
    # between an agent and its collector alone (`rbinder.agent.watch`)
    CONNECT_FAILED = 64  # ConnectFailed: a call that never got a connection, unless another attempt succeeds
    CONNECT_RETRACTED = 65  # Empty: another attempt has


class Side(enum.IntEnum):
    """Which end of an exchange the traced program is."""

    SERVER = 1
    CLIENT = 2


_SIDES = {int(side): side for side in Side}  # a look-up costs a tenth of Side()


@dataclass(slots=True)
class Empty:
    def pack(self) -> bytes:
        return b""

    @classmethod
    def unpack(cls, data: bytes) -> Empty:
        return cls()


@dataclass(slots=True)
class ProcessInfo:
    """A process's image: at exec, and for a forked child (`forked` true: what it inherits from `parent_pid`)."""

    parent_pid: int
    forked: bool
    executable: str  # absolute path
    arguments: list[str]
    directory: str = ""
    service_name: str = ""  # set only where the user chose one

    def pack(self) -> bytes:
        body = [self.parent_pid, self.forked, self.executable, self.arguments, self.directory, self.service_name]
        return json.dumps(body, separators=(",", ":")).encode("utf-8", "surrogateescape")

    @classmethod
    def unpack(cls, data: bytes) -> ProcessInfo:
        return cls(*json.loads(data.decode("utf-8", "surrogateescape")))


@dataclass(slots=True)
class ProcessExit:
    status: int  # as waitpid(2) reports it

    def pack(self) -> bytes:
        return struct.pack("<i", self.status)

    @classmethod
    def unpack(cls, data: bytes) -> ProcessExit:
        return cls(*struct.unpack("<i", data))


@dataclass(slots=True)
class ConnectionInfo:
    """Addresses are numeric text (`127.0.0.1`, `::1`, a path for AF_UNIX, "" unknown); times CLOCK_MONOTONIC ns, 0: not
    seen. `error` is an errno when the connect failed, else 0."""

    side: Side
    peer_address: str = ""
    peer_port: int = 0
    local_address: str = ""
    local_port: int = 0
    connect_start: int = 0
    connect_end: int = 0
    lookup_start: int = 0
    lookup_end: int = 0
    error: int = 0

    def pack(self) -> bytes:
        fixed = _CONNECTION.pack(
            self.side,
            self.peer_port,
            self.local_port,
            self.connect_start,
            self.connect_end,
            self.lookup_start,
            self.lookup_end,
            self.error,
        )
        return fixed + f"{self.peer_address}\0{self.local_address}".encode("utf-8", "surrogateescape")

    @classmethod
    def unpack(cls, data: bytes) -> ConnectionInfo:
        side, peer_port, local_port, c0, c1, l0, l1, error = _CONNECTION.unpack_from(data)
        peer, _, local = data[_CONNECTION.size :].decode("utf-8", "surrogateescape").partition("\0")
        return cls(_SIDES[side], peer, peer_port, local, local_port, c0, c1, l0, l1, error)


@dataclass(slots=True)
class RequestHead:
    """`head` is what `rbinder.http.heads.reduce_head` leaves of the head: no secrets, still a parsable head.

    `parent_id` is 8 zero bytes for a trace's root; `remote_parent` tells whether it came over the wire (a SERVER's)
    or is the local SERVER span (a CLIENT's). `trace_state` is the W3C tracestate the span carries. `trace_flags` are
    the W3C flags. `started` is when the first byte was seen (CLOCK_MONOTONIC ns); the header's time is the last's.
    """

    side: Side
    trace_id: bytes
    parent_id: bytes
    remote_parent: bool
    trace_flags: int
    started: int
    trace_state: str
    head: bytes

    def pack(self) -> bytes:
        state = self.trace_state.encode("ascii", "replace")
        flags = (self.trace_flags & 0xFF) | (0x100 if self.remote_parent else 0)
        return (
            _REQUEST.pack(self.side, self.trace_id, self.parent_id, flags, self.started, len(state)) + state + self.head
        )

    @classmethod
    def unpack(cls, data: bytes) -> RequestHead:
        side, trace_id, parent_id, flags, started, length = _REQUEST.unpack_from(data)
        body = data[_REQUEST.size :]
        state = body[:length].decode("ascii")
        return cls(_SIDES[side], trace_id, parent_id, bool(flags & 0x100), flags & 0xFF, started, state, body[length:])


@dataclass(slots=True)
class ResponseHead:
    side: Side
    head: bytes  # reduced, as in RequestHead

    def pack(self) -> bytes:
        return bytes((self.side,)) + self.head

    @classmethod
    def unpack(cls, data: bytes) -> ResponseHead:
        return cls(_SIDES[data[0]], data[1:])


@dataclass(slots=True)
class MessageEnd:
    side: Side
    is_response: bool
    body_size: int  # bytes on the wire after the head, framing of chunks included

    def pack(self) -> bytes:
        return struct.pack("<BBQ", self.side, self.is_response, self.body_size)

    @classmethod
    def unpack(cls, data: bytes) -> MessageEnd:
        side, is_response, size = struct.unpack("<BBQ", data)
        return cls(_SIDES[side], bool(is_response), size)


@dataclass(slots=True)
class ExchangeFailed:
    """`error_type` is the low-cardinality value of the span attribute `error.type`."""

    side: Side
    error_type: str

    def pack(self) -> bytes:
        return bytes((self.side,)) + self.error_type.encode()

    @classmethod
    def unpack(cls, data: bytes) -> ExchangeFailed:
        return cls(_SIDES[data[0]], data[1:].decode())


@dataclass(slots=True)
class ConnectFailed:
    """`error_type` as in ExchangeFailed; `request` has no head."""

    error_type: str
    request: RequestHead

    def pack(self) -> bytes:
        error_type = self.error_type.encode()
        return bytes((len(error_type),)) + error_type + self.request.pack()

    @classmethod
    def unpack(cls, data: bytes) -> ConnectFailed:
        start = 1 + data[0]
        return cls(data[1:start].decode(), RequestHead.unpack(data[start:]))


@dataclass(slots=True)
class Lost:
    count: int

    def pack(self) -> bytes:
        return struct.pack("<Q", self.count)

    @classmethod
    def unpack(cls, data: bytes) -> Lost:
        return cls(*struct.unpack("<Q", data))


@dataclass(slots=True)
class Note:
    text: str

    def pack(self) -> bytes:
        return self.text.encode("utf-8", "surrogateescape")

    @classmethod
    def unpack(cls, data: bytes) -> Note:
        return cls(data.decode("utf-8", "surrogateescape"))


_CONNECTION = struct.Struct("<BHHQQQQi")
_REQUEST = struct.Struct("<B16s8sHQH")

Payload = (
    Empty
    | ProcessInfo
    | ProcessExit
    | ConnectionInfo
    | RequestHead
    | ResponseHead
    | MessageEnd
    | ExchangeFailed
    | ConnectFailed
    | Lost
    | Note
)

_PAYLOADS: dict[Kind, Any] = {
    Kind.PROCESS: ProcessInfo,
    Kind.PROCESS_EXIT: ProcessExit,
    Kind.CONNECTION: ConnectionInfo,
    Kind.CONNECTION_CLOSED: Empty,
    Kind.REQUEST_HEAD: RequestHead,
    Kind.RESPONSE_HEAD: ResponseHead,
    Kind.MESSAGE_END: MessageEnd,
    Kind.EXCHANGE_FAILED: ExchangeFailed,
    Kind.LOST: Lost,
    Kind.NOTE: Note,
    Kind.FLUSH: Empty,
    Kind.CONNECT_FAILED: ConnectFailed,
    Kind.CONNECT_RETRACTED: Empty,
}
_KINDS = {int(kind): (kind, payload.unpack) for kind, payload in _PAYLOADS.items()}


@dataclass(slots=True)
class Record:
    kind: Kind
    time: int
    pid: int
    tid: int
    connection: int = 0
    exchange: bytes = NO_EXCHANGE
    payload: Payload = field(default_factory=Empty)

    def pack(self) -> bytes:
        """The record's bytes, header and payload."""
        body = self.payload.pack()
        size = HEADER.size + len(body)
        return (
            HEADER.pack(size, self.kind, VERSION, self.time, self.pid, self.tid, self.connection, self.exchange, 0)
            + body
        )


class CorruptStream(ValueError):
    """The bytes are no records of this version; nothing after them can be read."""


# What a payload's unpack raises when its bytes are none.
UNREADABLE = (CorruptStream, struct.error, ValueError, TypeError, LookupError)


class Decoder:
    """Turns a stream of bytes, cut anywhere, into records.

    `framed`: whoever gives the bytes has seen to it that they are whole records, each of whom another program may have
    made; one whose payload is none is left out, and counted where it was a request's.
    """

    def __init__(self, framed: bool = False) -> None:
        self.unreadable_requests = 0
        self._framed = framed
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Record]:
        """Yield each record that is now complete. Raises CorruptStream; unknown kinds are skipped."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        try:
            while end - at >= HEADER.size:
                size, kind, version, time, pid, tid, connection, exchange, _ = HEADER.unpack_from(data, at)
                if version != VERSION or not HEADER.size <= size <= MAX_RECORD:
                    raise CorruptStream(f"record of version {version}, {size} bytes: expected version {VERSION}")
                if end - at < size:
                    break
                body = data[at + HEADER.size : at + size]
                at += size
                found = _KINDS.get(kind)
                if found is None:
                    continue
                name, payload = found
                try:
                    made = payload(body)
                except UNREADABLE:
                    if not self._framed:
                        raise
                    self.unreadable_requests += name is Kind.REQUEST_HEAD
                    continue
                yield Record(name, time, pid, tid, connection, exchange, made)
        finally:
            self._rest = data[at:]
