"""What there is to be measured: a row is a front in one runtime with one way to make calls.

A front answers GET /work?id=N&shape=S on PORT, and makes calls GET /leaf?id=N&shape=S to BACK, as the shape says:

    once      at once                               nested    two, one after the other
    sleep     after a sleep                         limited   through a pool of three connections
    io        after other input or output           forget    one that nobody waits for, then the answer
    fan       three at the same time                pool      by a worker that was started at boot

and in Python, beside an executor's workers (pool):

    queue     by a thread that was started at boot, and takes work from a queue.Queue
    aqueue    by a coroutine that was, from an asyncio.Queue
    thread    by a thread that is started for it
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

SHAPES = ("once", "sleep", "io", "fan", "nested", "limited", "forget", "pool")
LATE = "forget"  # whose calls may come after the answer: then unbound is right
LEFT = "left"  # instead of its shape: a call for a client that has given up
CUT = "cut"  # a call that is given up itself, under stress
# The answer is often sent before the call is made: then the call belongs to nothing any more.
FORGET = {LATE: "made after the answer, as may be"}
UNAWAITED = (LATE, LEFT, CUT)
CALLS = {"fan": 3, "nested": 2}  # for each request; else 1


@dataclass(frozen=True)
class Row:
    """`loose`: shapes of which the agent leaves some calls unbound, and why that can't be helped."""

    name: str
    runtime: str
    command: Callable[[int, int], Sequence[str]]  # of a port to listen on, and the back's
    shapes: tuple[str, ...] = SHAPES
    loose: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    stressed: bool = False  # measured with a thousand connections too, and with clients that give up


def calls(shape: str) -> int:
    return CALLS.get(shape, 1)
