"""Signals that come by two ways are delivered once, in whatever order their copies come."""

from __future__ import annotations

import signal

import pytest

from rbinder.ptrace.passing import REMEMBERED, SAME, Passing

OWN, SENDER, OTHER = 10, 20, 30
TERM, HUP = int(signal.SIGTERM), int(signal.SIGHUP)
KERNEL = 0x80  # SI_KERNEL


class World:
    """A program's pending signals, and a clock."""

    def __init__(self) -> None:
        self.pending: set[int] = set()
        self.now = 100.0
        self.passing = Passing(OWN, self.pending.__contains__, lambda: self.now)


@pytest.fixture
def world() -> World:
    return World()


def test_sent_to_the_program_alone(world: World) -> None:
    assert world.passing.arriving((TERM, 0, SENDER))
    assert world.passing.arriving((TERM, 0, SENDER))


def test_sent_to_the_launcher_alone(world: World) -> None:
    for _ in range(3):
        assert world.passing.meant_for_us((TERM, 0, SENDER))
        assert world.passing.arriving((TERM, 0, OWN))


def test_the_programs_copy_comes_first(world: World) -> None:
    assert world.passing.arriving((TERM, 0, SENDER))
    assert not world.passing.meant_for_us((TERM, 0, SENDER))
    assert world.passing.meant_for_us((TERM, 0, SENDER))  # a second one is news


def test_ours_comes_next(world: World) -> None:
    """The program's copy was on its way when the launcher's message came."""
    assert world.passing.meant_for_us((TERM, 0, SENDER))
    world.pending.add(TERM)
    assert not world.passing.arriving((TERM, 0, SENDER))
    world.pending.remove(TERM)
    assert world.passing.arriving((TERM, 0, OWN))


def test_ours_comes_before(world: World) -> None:
    assert world.passing.meant_for_us((TERM, 0, SENDER))
    assert world.passing.arriving((TERM, 0, OWN))
    assert not world.passing.arriving((TERM, 0, SENDER))
    assert world.passing.arriving((TERM, 0, SENDER))


def test_ours_and_the_programs_become_one(world: World) -> None:
    assert world.passing.meant_for_us((TERM, 0, SENDER))
    assert world.passing.arriving((TERM, 0, SENDER))
    assert world.passing.meant_for_us((TERM, 0, SENDER))  # nothing of the first is left


def test_different_signals_and_senders_are_different(world: World) -> None:
    assert world.passing.arriving((TERM, 0, SENDER))
    assert world.passing.meant_for_us((HUP, 0, SENDER))
    assert world.passing.meant_for_us((TERM, 0, OTHER))
    assert world.passing.meant_for_us((TERM, KERNEL, SENDER))


def test_what_is_long_ago_has_nothing_to_do_with_it(world: World) -> None:
    assert world.passing.arriving((TERM, 0, SENDER))
    world.now += SAME + 1
    assert world.passing.meant_for_us((TERM, 0, SENDER))
    world.now += SAME + 1
    world.pending.add(TERM)
    assert world.passing.arriving((TERM, 0, SENDER))


def test_a_program_that_gets_many_signals_is_not_remembered_for_ever(world: World) -> None:
    for number in range(10 * REMEMBERED):
        assert world.passing.arriving((TERM, 0, 1000 + number))
    assert world.passing.meant_for_us((TERM, 0, 1000))
    assert not world.passing.meant_for_us((TERM, 0, 1000 + 10 * REMEMBERED - 1))
