"""Signals that reach the program both through the launcher and without it are delivered once. This file does no I/O.

    kill(-group, TERM) ──▶ program ───── stop before delivery ──▶ arriving()     in either order, and two equal
                     └───▶ launcher ─── message ─▶ tracer ──────▶ meant_for_us() pending signals become one

What identifies a signal is its number, si_code and sender: both copies have the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rbinder.kernel import SI_USER

Identity = tuple[int, int, int]  # number, si_code, sender
REMEMBERED = 64  # signals of each kind
SAME = 2.0  # seconds within which both copies arrive


@dataclass(slots=True)
class _Seen:
    identity: Identity
    time: float
    arrived: bool = False  # of one that was passed on: our own signal has reached the program


class Passing:
    """`own` is the sender of what is passed on; `pending` tells whether the program has such a signal pending."""

    def __init__(self, own: int, pending: Callable[[int], bool], clock: Callable[[], float]) -> None:
        self._own = own
        self._pending = pending
        self._clock = clock
        self._delivered: deque[_Seen] = deque(maxlen=REMEMBERED)
        self._passed: deque[_Seen] = deque(maxlen=REMEMBERED)

    def meant_for_us(self, identity: Identity) -> bool:
        """The launcher got a signal; whether to send it to the program."""
        if self._take(self._delivered, identity):
            return False
        self._passed.append(_Seen(identity, self._clock()))
        return True

    def arriving(self, identity: Identity) -> bool:
        """The program is about to get a signal; whether it shall."""
        number, code, sender = identity
        if sender == self._own and code == SI_USER:
            self._note_arrival(number)
            return True
        passed = self._take(self._passed, identity)
        if passed is None:
            self._delivered.append(_Seen(identity, self._clock()))
            return True
        # Ours has come already, or comes next. Else it found this one still pending, and has become one with it.
        return not (passed.arrived or self._pending(number))

    def _note_arrival(self, number: int) -> None:
        for passed in self._passed:
            if passed.identity[0] == number and not passed.arrived:
                passed.arrived = True
                return

    def _take(self, seen: deque[_Seen], identity: Identity) -> _Seen | None:
        """Remove and return the oldest signal of this identity, and forget what is too old."""
        oldest = self._clock() - SAME
        while seen and seen[0].time < oldest:
            seen.popleft()
        found = next((each for each in seen if each.identity == identity), None)
        if found is not None:
            seen.remove(found)
        return found
