"""Inserting and replacing: whatever the kernel takes, the program is told its part and the rest is not lost."""

from __future__ import annotations

import pytest

from rbinder.binder.edits import Accepted, Edit, accepted, pieces

PROGRAM = b"abcdefghij"


def wire(edits: list[Edit], program: bytes) -> bytes:
    """What these pieces are, as bytes."""
    found = pieces(edits, len(program))
    return b"".join(piece if isinstance(piece, bytes) else program[piece[0] : sum(piece)] for piece in found)


CASES = [
    [Edit(0, b"INS")],
    [Edit(4, b"INS")],
    [Edit(9, b"I")],
    [Edit(0, b"IN"), Edit(1, b"SER"), Edit(9, b"T")],
    [Edit(3, b"REP", 3)],
    [Edit(0, b"REP", 3)],
    [Edit(7, b"REP", 3)],
    [Edit(2, b"INS"), Edit(4, b"REP", 3), Edit(7, b"MORE")],
    [Edit(0, b"WHOLEISNEW", 10)],
    [],
]


@pytest.mark.parametrize("edits", CASES, ids=str)
def test_every_result_leaves_what_is_still_to_be_sent(edits: list[Edit]) -> None:
    """What was sent, then what is left of the edits applied to what is left of the program's bytes, is the whole."""
    whole = wire(edits, PROGRAM)
    for result in range(1, len(whole) + 1):
        taken = accepted(edits, result)
        assert 0 <= taken.program <= len(PROGRAM)
        begun = taken.last + 1 if taken.last is not None else 0
        later = [Edit(edit.at - taken.program, edit.insert, edit.drop) for edit in edits[begun:]]
        rest = [taken.rest, *later] if taken.rest else later
        assert whole[:result] + wire(rest, PROGRAM[taken.program :]) == whole
        assert not taken.rest or taken.rest.insert
    assert accepted(edits, len(whole)).program == len(PROGRAM)


def test_the_four_places_of_a_cut() -> None:
    edits = [Edit(4, b"INS")]
    assert accepted(edits, 4) == Accepted(4)
    assert accepted(edits, 5) == Accepted(4, 0, Edit(0, b"NS"))
    assert accepted(edits, 7) == Accepted(4, 0)
    assert accepted(edits, 8) == Accepted(5, 0)


def test_a_replacement_goes_on_in_its_place() -> None:
    assert accepted([Edit(4, b"REP", 3)], 5) == Accepted(5, 0, Edit(0, b"EP", 2))


def test_nothing_empty_is_sent() -> None:
    assert pieces([Edit(0, b"INS")], 3) == [b"INS", (0, 3)]
    assert pieces([Edit(0, b"REP", 3)], 3) == [b"REP"]
    assert pieces([], 3) == [(0, 3)]


def test_a_replacement_does_not_outgrow_the_call() -> None:
    edit = Edit(0, b"REPLACED", 8)
    assert edit.fitting(3) == Edit(0, b"REP", 3)
    assert edit.fitting(8) is edit
    assert Edit(0, b"INSERTED").fitting(3) == Edit(0, b"INSERTED")
