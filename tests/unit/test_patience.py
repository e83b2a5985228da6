"""Waiting for the next stop: when it is looked for, what is learnt from it, when it is left at that."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from rbinder.ptrace.patience import Patience

NOTHING, STOP = (0, 0), (4711, 0x57F)
KIND = 17


class Machine:
    """A clock and a waitpid: each look takes `step` ns, and the `waits`th look from now finds a stop (0: none does)."""

    def __init__(self) -> None:
        self.now = 0
        self.step = 1_000
        self.waits = 0
        self.looks = 0

    def waitpid(self, pid: int, options: int) -> tuple[int, int]:
        assert (pid, options) == (-1, os.WNOHANG)
        self.looks += 1
        self.waits -= 1
        return STOP if self.waits == 0 else NOTHING

    def give_way(self) -> None:
        self.now += self.step

    def next(self, patience: Patience, waits: int, kind: int | None = KIND) -> tuple[tuple[int, int], int]:
        """(what was found, in how many looks)."""
        self.waits, self.looks = waits, 0
        return patience.next(kind), self.looks


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine()
    monkeypatch.setattr(os, "waitpid", machine.waitpid)
    monkeypatch.setattr(os, "sched_yield", machine.give_way)
    monkeypatch.setattr(time, "monotonic_ns", lambda: machine.now)
    yield machine
    monkeypatch.undo()


def test_a_stop_that_is_there_is_taken_at_once(machine: Machine) -> None:
    assert machine.next(Patience(os.WNOHANG), 1) == (STOP, 1)


def test_a_stop_that_comes_soon_is_waited_for(machine: Machine) -> None:
    patience = Patience(os.WNOHANG)
    for _ in range(50):
        assert machine.next(patience, 90) == (STOP, 90)


def test_without_a_kind_nothing_is_waited_for(machine: Machine) -> None:
    assert machine.next(Patience(os.WNOHANG), 2, kind=None) == (NOTHING, 1)


def test_the_wait_has_an_end(machine: Machine) -> None:
    found, looks = machine.next(Patience(os.WNOHANG), 0)
    assert found == NOTHING
    assert machine.now == 100_000
    assert looks == 101


def test_a_cpu_that_somebody_else_wants_is_left_to_them(machine: Machine) -> None:
    machine.step = 25_000
    assert machine.next(Patience(os.WNOHANG), 4) == (NOTHING, 2)


def test_a_kind_that_nothing_follows_is_tried_once_in_a_while(machine: Machine) -> None:
    patience = Patience(os.WNOHANG)
    machine.next(patience, 0)
    looked = [machine.next(patience, 0)[1] > 1 for _ in range(96)]
    assert looked.count(True) == 3
    assert machine.next(patience, 2, kind=KIND + 1) == (STOP, 2), "another kind is judged by itself"


def test_a_kind_that_pays_again_is_waited_for_again(machine: Machine) -> None:
    patience = Patience(os.WNOHANG)
    for _ in range(1000):
        machine.next(patience, 0)
    for _ in range(32 * 8):
        machine.next(patience, 2)
    assert machine.next(patience, 2) == (STOP, 2)


def test_two_finds_make_up_for_a_wait_in_vain(machine: Machine) -> None:
    patience = Patience(os.WNOHANG)
    for _ in range(7):
        machine.next(patience, 2)
    for waits in [0, 2, 2] * 40:
        assert machine.next(patience, waits)[1] > 1
    answers = [machine.next(patience, waits)[1] > 1 for waits in [0, 2] * 40]
    assert not all(answers)
