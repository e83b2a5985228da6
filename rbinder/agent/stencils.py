"""Spans of exchanges like others before them, made and encoded in C (src/stencil.c), as Python sees it.

A stencil is cut here, of a span that was made the long way. All else passes through.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.semconv.attributes import client_attributes, network_attributes, url_attributes

from rbinder.agent.contract import MAX_RECORD
from rbinder.agent.pump import declare, load
from rbinder.agent.ring import unchanged
from rbinder.exchanges import Exchange, Process
from rbinder.exporters.otlp_wire import EncodedSpans, Encoder, Unusual, field
from rbinder.records import Decoder, Record, Side
from rbinder.spans import MOMENTS

SEGMENTS = 256
PASSED_ROOM = 4 * MAX_RECORD  # bytes; what one record may make of it is half of that
SPANS_ROOM = 2 << 20
LONGEST = 1408  # bytes of a stencil
LITERAL, PATH, QUERY, TARGET, PORT, EVENT = range(6)
UNWANTED, WANTED_HERE, WANTED_ANYWHERE = range(3)
_CLIENT_PORTS = (client_attributes.CLIENT_PORT, network_attributes.NETWORK_PEER_PORT)


class Segment(ctypes.Structure):
    """src/stencil.h: struct segment."""

    group: int
    count: int
    at: int
    size: int
    _fields_ = (
        ("group", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("at", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
    )


class Weave(ctypes.Structure):
    """src/stencil.h: struct weave."""

    epoch: int
    passed_size: int
    segment_count: int
    segments: ctypes.Array[Segment]
    _fields_ = (
        ("epoch", ctypes.c_uint64),
        ("passed", ctypes.c_void_p),
        ("passed_room", ctypes.c_uint64),
        ("passed_size", ctypes.c_uint64),
        ("spans", ctypes.c_void_p),
        ("spans_room", ctypes.c_uint64),
        ("most", ctypes.c_uint64),
        ("segment_count", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("segments", Segment * SEGMENTS),
        ("stencils", ctypes.c_void_p),
    )


@functools.cache
def _functions() -> ctypes.CDLL:
    library = load()
    weave, exchange = ctypes.POINTER(Weave), ctypes.c_char_p
    signatures: dict[str, tuple[object, ...]] = {
        "stencils_size": (ctypes.c_uint64,),
        "stencils_feed": (ctypes.c_uint64, weave, ctypes.c_void_p, ctypes.c_uint64),
        "stencils_release": (ctypes.c_bool, weave, ctypes.c_uint32),
        "stencils_hold": (ctypes.c_bool, weave, ctypes.c_uint32),
        "stencils_want": (ctypes.c_uint32, weave, exchange),
        "stencils_fill": (None, weave, exchange, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint64),
    }
    declare(library, signatures)
    return library


class Stencils:
    """Takes records before everybody else.

    `deliver` gets the spans it makes, `most` at once; `epoch` tells CLOCK_MONOTONIC's zero in nanoseconds since 1970.
    """

    def __init__(self, deliver: Callable[[EncodedSpans], None], epoch: Callable[[], int], most: int) -> None:
        self._deliver, self._epoch = deliver, epoch
        self._library = _functions()
        self._encoder = Encoder()
        self._groups: dict[int, ReadableSpan] = {}  # one of each process's, by its identity
        self._of_pid: dict[int, list[int]] = {}  # identities
        self._rooms = [_room(size) for size in (PASSED_ROOM, SPANS_ROOM, self._library.stencils_size())]
        self._passed, self._spans, state = (ctypes.addressof(ctypes.c_char.from_buffer(room)) for room in self._rooms)
        self._weave = Weave(
            passed=self._passed,
            passed_room=PASSED_ROOM,
            spans=self._spans,
            spans_room=SPANS_ROOM,
            most=max(1, most),
            stencils=state,
        )

    def feed(self, address: int, size: int) -> tuple[int, bytes]:
        """Take records from memory: how many bytes were taken, and what is left to others of these and earlier ones."""
        weave = self._weave
        weave.epoch = self._epoch()
        taken: int = self._library.stencils_feed(weave, address, size)
        for index in range(weave.segment_count):
            segment = weave.segments[index]
            data = ctypes.string_at(self._spans + segment.at, segment.size)
            self._deliver(EncodedSpans(data, segment.count, self._groups[segment.group]))
        if not taken:  # nobody can read them
            return unchanged(address, size)
        return taken, ctypes.string_at(self._passed, weave.passed_size)

    def holds(self, pid: int) -> bool:
        """Whether a process has open exchanges here."""
        held: bool = self._library.stencils_hold(self._weave, pid)
        return held

    def release(self, pid: int = 0) -> bytes:
        """The records of what is open here, of one process or all."""
        released = b""
        whole = False
        while not whole:
            whole = self._library.stencils_release(self._weave, pid)
            released += ctypes.string_at(self._passed, self._weave.passed_size)
        return released

    def learn(self, exchange: Exchange, span: ReadableSpan) -> None:
        """Look at a span that was made the long way: perhaps others will be like it."""
        wanted = self._library.stencils_want(self._weave, exchange.span_id)
        if wanted == UNWANTED:
            return
        text = cut(exchange, span, self._encoder, anywhere=wanted == WANTED_ANYWHERE)
        if 0 < len(text) <= LONGEST:
            group = self._group(exchange.process, span)
            self._library.stencils_fill(self._weave, exchange.span_id, group, text, len(text))

    def forget(self, pid: int) -> None:
        """A process has ended, or has another image; it was told of here before, so nothing of it is made any more."""
        for identity in self._of_pid.pop(pid, ()):
            del self._groups[identity]

    def _group(self, process: Process, sample: ReadableSpan) -> int:
        if process.identity not in self._groups:
            self._groups[process.identity] = sample
            self._of_pid.setdefault(process.pid, []).append(process.identity)
        return process.identity


class Early:
    """What they hold, for those who have to know of all open exchanges; `take` gets the records of what is released."""

    def __init__(self, stencils: Stencils, take: Callable[[Record], None]) -> None:
        self._stencils, self._take = stencils, take

    def holds(self, pid: int) -> bool:
        """Whether a process has open exchanges there."""
        return self._stencils.holds(pid)

    def release(self, pid: int = 0) -> None:
        """Let go of a process's (0: all)."""
        for record in Decoder(framed=True).feed(self._stencils.release(pid)):
            self._take(record)


def _room(size: int) -> mmap.mmap:
    """Memory that is there where it is used."""
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def cut(exchange: Exchange, span: ReadableSpan, encoder: Encoder, *, anywhere: bool = False) -> bytes:
    """The span's stencil (src/stencil.h), empty where no other is like it; `anywhere`: on other connections too."""
    request = exchange.request
    if request is None or request.method == "CONNECT":  # whose target is the server's address
        return b""
    if exchange.error_type or span.links or (span.events and not anywhere):
        return b""
    attributes = dict(span.attributes or {})
    try:
        holes = _holes(exchange.side, request.target, attributes)
        if anywhere:
            holes |= _ports(exchange, attributes)
        text = _sized(encoder.beginning(span))
        literal = b""
        for key, value in attributes.items():
            if key not in holes:
                literal += encoder.attribute(key, value)
                continue
            text += bytes((LITERAL,)) + _sized(literal) + holes[key]
            literal = b""
        for event in span.events:
            text += bytes((LITERAL,)) + _sized(literal)
            text += bytes((EVENT + MOMENTS.index(event.name),)) + _sized(field(0x12, event.name.encode()))
            literal = b""
        return text + bytes((LITERAL,)) + _sized(literal + encoder.status(span))
    except (Unusual, ValueError, OverflowError):
        return b""


def _holes(side: Side, target: str, attributes: Mapping[str, Any]) -> dict[str, bytes]:
    """Instead of the attributes that are made of the target. Raises Unusual where they aren't just that."""
    path, mark, query = target.partition("?")
    if not target.startswith("/") or (mark and not query):
        raise Unusual
    if side is Side.CLIENT:
        full = attributes.get(url_attributes.URL_FULL, "")
        if not full.endswith(target):
            raise Unusual
        before = full[: len(full) - len(target)].encode()
        return {url_attributes.URL_FULL: _hole(TARGET, url_attributes.URL_FULL) + _sized(before)}
    if (attributes.get(url_attributes.URL_PATH), attributes.get(url_attributes.URL_QUERY, "")) != (path, query):
        raise Unusual
    holes = {url_attributes.URL_PATH: _hole(PATH, url_attributes.URL_PATH)}
    if query:
        holes[url_attributes.URL_QUERY] = _hole(QUERY, url_attributes.URL_QUERY)
    return holes


def _ports(exchange: Exchange, attributes: Mapping[str, Any]) -> dict[str, bytes]:
    """Instead of the client's port. Raises Unusual where its attributes tell something else."""
    if exchange.connection is None:
        raise Unusual
    if exchange.side is Side.CLIENT:
        return {}
    found = {key: attributes[key] for key in _CLIENT_PORTS if key in attributes}
    if any(value != exchange.connection.peer_port for value in found.values()):
        raise Unusual
    return {key: _hole(PORT, key) for key in found}


def _hole(kind: int, key: str) -> bytes:
    return bytes((kind,)) + _sized(field(0x0A, key.encode()))


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "little") + data
