"""Waiting for the next stop: where one follows soon, by looking for it a moment longer instead of going to sleep.

    stop ─ dealt with ─ tracee resumed ─▶ looks for up to 100 µs ─▶ the next stop
                                               └─ none came, or somebody else wants this CPU ─▶ asleep

To wake a thread on an idle CPU takes a virtual machine ~50 µs, as long as all the work a stop makes. Looking pays only
where the program goes on at once, so it is learnt by the kind of stop how often it did; and only on a CPU that nobody
else wants, so each look gives the CPU away first and sees by the clock whether it was taken.
"""

from __future__ import annotations

import os
import time

Event = tuple[int, int]  # thread id and wait status; (0, 0) for none
_NONE = (0, 0)

_MOMENT = 100_000  # ns
_TAKEN = 20_000  # ns that a look takes only if the CPU was given to somebody else meanwhile
_MOST, _ENOUGH, _COST = 15, 8, 2  # looking pays where it finds something two times out of three
_TRIAL = 32  # of so many times that looking doesn't seem to pay, it is tried once


class Patience:
    """Learns after which kinds of stop the next one follows soon. `options` are waitpid's, WNOHANG among them."""

    def __init__(self, options: int) -> None:
        self._options = options
        self._scores: dict[int, int] = {}
        self._untried = 0

    def next(self, kind: int | None) -> Event:
        """The next wait status, or none: time to sleep. `kind` is the last stop's; None: don't look longer.

        Raises ChildProcessError.
        """
        event = os.waitpid(-1, self._options)
        if event[0] or kind is None or not self._pays(kind):
            return event
        event = self._look()
        score = self._scores.get(kind, _ENOUGH)
        self._scores[kind] = min(score + 1, _MOST) if event[0] else max(score - _COST, 0)
        return event

    def _pays(self, kind: int) -> bool:
        if self._scores.get(kind, _ENOUGH) >= _ENOUGH:
            return True
        self._untried += 1
        return self._untried % _TRIAL == 0

    def _look(self) -> Event:
        looked = time.monotonic_ns()
        end = looked + _MOMENT
        while looked < end:
            os.sched_yield()
            event = os.waitpid(-1, self._options)
            if event[0]:
                return event
            before, looked = looked, time.monotonic_ns()
            if looked - before > _TAKEN:
                break
        return _NONE
