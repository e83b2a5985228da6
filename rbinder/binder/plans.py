"""A call that sends, before its result is known: what the bytes mean and what is to be done with them.

This file does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from rbinder.binder.binder import Turn
from rbinder.binder.edits import Edit
from rbinder.binder.rules import Thread
from rbinder.http.scanner import Event, Head, RequestScanner, ResponseScanner

WINDOW = 1 << 14  # bytes looked at at once; a counted body is not looked at
# What is inserted into one call, at most; heads beyond that go out as they are.
_MOST_EDITS = 256
_MOST_INSERTED = 1 << 14  # bytes

Found = list[tuple[int, Event]]  # (offset of the window the event's offsets refer to, event)


class Source(Protocol):
    """The bytes of one call's buffers."""

    total: int

    def read(self, offset: int, size: int) -> bytes: ...


@dataclass(slots=True, eq=False)
class Plan:
    """What is to be done with a call that sends.

    `edits` change the bytes; with `settled` the call's result need not be known (no exit stop is asked for).
    """

    source: Source
    thread: Thread
    scanned: RequestScanner | ResponseScanner
    found: Found
    started: int
    heads: list[Head] = field(default_factory=list)  # that end in these bytes, and whose `turns`
    edits: list[Edit] = field(default_factory=list)
    owners: list[Turn] = field(default_factory=list)  # whose each edit is
    turns: list[Turn] = field(default_factory=list)
    settled: bool = False
    requests: int = 0  # SERVER: how many had been read when this was planned
    inserted: int = 0  # bytes

    def insert(self, turn: Turn, edit: Edit) -> None:
        """Add an edit behind the others, if there is room for it."""
        last = self.edits[-1] if self.edits else None
        if last is not None and edit.at < last.at + last.drop:
            return  # the program goes on otherwise than it began
        if len(self.edits) < _MOST_EDITS and self.inserted + len(edit.insert) <= _MOST_INSERTED:
            self.edits.append(edit)
            self.owners.append(turn)
            self.inserted += len(edit.insert)


def scan(scanner: RequestScanner | ResponseScanner, source: Source, total: int) -> Found:
    """Feed a scanner the first `total` bytes, looking only at those it has to see."""
    found: Found = []
    offset = 0
    while offset < total and not scanner.opaque:
        size = min(scanner.skippable, total - offset)
        if size > 0:
            events = scanner.skip(size)
        else:
            data = source.read(offset, min(WINDOW, total - offset))
            if not data:
                scanner.give_up()
                break
            size = len(data)
            events = scanner.feed(data)
        found.extend((offset, event) for event in events)
        offset += size
    return found
