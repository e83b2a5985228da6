"""How rbinder was started, as far as a command's signals go: the program is to find the same.

Python ignores SIGPIPE and SIGXFSZ from its start on, whatever they were before: the program gets their defaults.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

_OURS = (signal.SIGINT, signal.SIGCHLD)  # ignored, neither children nor the terminal's keys could be noticed
_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)


@dataclass(frozen=True, slots=True)
class Inherited:
    """`mask`: the signals that were blocked. `ignored`: those of _OURS that were ignored."""

    mask: frozenset[int]
    ignored: frozenset[int]

    def restore(self) -> None:
        """In the program's process: dispositions first, so that no blocked signal finds ours."""
        for number in (*_PYTHON_IGNORES, *_OURS):
            signal.signal(number, signal.SIG_IGN if number in self.ignored else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)


def inherit() -> Inherited:
    """Block all signals, from now on for our processes too, and remember what was."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ignored = frozenset(int(number) for number in _OURS if signal.getsignal(number) is signal.SIG_IGN)
    for number in _OURS:
        signal.signal(number, signal.SIG_DFL)
    return Inherited(frozenset(int(number) for number in mask), ignored)
