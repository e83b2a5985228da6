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

    `drop` is 0 (an insertion) or len(insert) (a replacement, which changes no length).
    """

    at: int
    insert: bytes
    drop: int = 0


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a result means: `program` bytes of the program's were sent.

    `cut` is the index of the edit that was sent in part or just ended there (None: the result ends elsewhere), and
    `rest` what of it is still to be sent: before any other byte, or, of a replacement, in place of the next ones.
    """

    program: int
    cut: int | None = None
    rest: bytes = b""


Piece = tuple[int, int] | bytes  # (offset, length) of the program's bytes, or our own


def pieces(edits: list[Edit], total: int) -> list[Piece]:
    """What to send, in order. `edits` are sorted by `at` and don't overlap."""
    result: list[Piece] = []
    done = 0
    for edit in edits:
        if edit.at > done:
            result.append((done, edit.at - done))
        if edit.insert:
            result.append(edit.insert)
        done = edit.at + edit.drop
    if done < total:
        result.append((done, total - done))
    return result


def accepted(edits: list[Edit], result: int) -> Accepted:
    """Translate the number of bytes the kernel took (≥ 0) into the program's."""
    program = 0  # the program's offset that corresponds to what has been walked over
    for index, edit in enumerate(edits):
        gap = edit.at - program
        if result <= gap and not (result == gap == 0):
            return Accepted(program + result)
        result -= gap
        program = edit.at
        size = len(edit.insert)
        if edit.drop:
            if result < size:
                return Accepted(program + result, index, edit.insert[result:])
        elif result <= size:
            return Accepted(program, index, edit.insert[result:])
        result -= size
        program += edit.drop
    return Accepted(program + result)
