"""Inserting bytes into what a program sends, and telling it the length it believes it sent. This file does no I/O.

program's bytes   |--------- k ---------|------ rest ------|
on the wire       |--------- k ---------|## L ##|-- rest --|
                                            ↑
                     a result r that ends here has sent k bytes of the program's and r - k of ours
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """At `at` (offset in the program's bytes) leave out `drop` bytes and send `insert` in their place.

    `insert` isn't empty; `drop` is 0 (an insertion) or len(insert) (a replacement, which changes no length).
    """

    at: int
    insert: bytes
    drop: int = 0

    def rest(self, sent: int) -> Edit:
        """What is left of it for the next call, when `sent` bytes of it were sent."""
        left = self.insert[sent:]
        return Edit(0, left, len(left) if self.drop else 0)

    def fitting(self, total: int) -> Edit:
        """The part of it that a call of `total` bytes can hold: a replacement never outgrows what it replaces."""
        return Edit(self.at, self.insert[:total], total) if self.drop > total else self


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a result means: `program` bytes of the program's were sent.

    `last` is the index of the last edit of which anything was sent (None: of none), and `rest` what of it is still to
    be sent: before any other byte, or, of a replacement, in place of the next ones.
    """

    program: int
    last: int | None = None
    rest: Edit | None = None


Piece = tuple[int, int] | bytes  # (offset, length) of the program's bytes, or our own


def pieces(edits: list[Edit], total: int) -> list[Piece]:
    """What to send, in order. `edits` are sorted by `at` and don't overlap."""
    result: list[Piece] = []
    done = 0
    for edit in edits:
        if edit.at > done:
            result.append((done, edit.at - done))
        result.append(edit.insert)
        done = edit.at + edit.drop
    if done < total:
        result.append((done, total - done))
    return result


def accepted(edits: list[Edit], result: int) -> Accepted:
    """Translate the number of bytes the kernel took (> 0) into the program's."""
    program = 0  # the program's offset that corresponds to what has been walked over
    last = None
    for index, edit in enumerate(edits):
        gap = edit.at - program
        if result <= gap:
            break
        result -= gap
        program, last = edit.at, index
        size = len(edit.insert)
        if result < size:
            return Accepted(program + (result if edit.drop else 0), index, edit.rest(result))
        result -= size
        program += edit.drop
    return Accepted(program + result, last)
