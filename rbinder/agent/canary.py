"""A signal sent to the whole process group reaches the program by itself; one sent to the launcher is passed on. This
file does no I/O.

    kill(-group, TERM) ──▶ program          the kernel goes through a group from its newest member to its oldest,
                     ├───▶ keeper           so that the keeper has its copy before the launcher gets its own
                     └───▶ launcher ── message ─▶ keeper: sent to me as well? then the program has it

What identifies a signal is its number, si_code and sender: all copies have the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Identity = tuple[int, int, int]  # number, si_code, sender
REMEMBERED = 256  # signals
SAME = 2.0  # seconds within which both copies are seen


class Canary:
    """What the keeper was sent; it blocks all signals, and has nothing to do with any."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sent: deque[tuple[float, Identity]] = deque(maxlen=REMEMBERED)

    def sent(self, identity: Identity) -> None:
        """The keeper has got a signal."""
        self._sent.append((self._clock(), identity))

    def is_news(self, identity: Identity) -> bool:
        """The launcher has got a signal; whether the program has not."""
        oldest = self._clock() - SAME
        while self._sent and self._sent[0][0] < oldest:
            self._sent.popleft()
        for entry in self._sent:
            if entry[1] == identity:
                self._sent.remove(entry)
                return False
        return True
