"""The engine that lives in the program: a small C library, loaded by LD_PRELOAD into what is dynamically linked.

Here is what starts it and looks after it from outside; the library itself is in `src`.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

_HERE = Path(__file__).parent


def library(machine: str | None = None) -> Path | None:
    """The agent built for a machine (uname's name; this one's by default); None where there is none."""
    return _built("agent", machine)


def reader(machine: str | None = None) -> Path | None:
    """The collector's end of the ring, as `library`."""
    return _built("reader", machine)


def _built(name: str, machine: str | None) -> Path | None:
    if struct.calcsize("P") != 8:
        return None
    path = _HERE / f"{name}-{machine or os.uname().machine}.so"
    return path if path.is_file() else None
