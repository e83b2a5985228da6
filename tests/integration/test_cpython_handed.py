"""What CPython's queues and threads hand over: work, but connections as well, batches, and what pools do that grow.

The ordinary ways are rows of tests/attribution. Here no call may come in another's trace, whatever the program does;
and who serves a request isn't confused by what it takes from a queue.
"""

from __future__ import annotations

import sys

import pytest
from attribution.measure import measure
from attribution.rows import Row
from engines import WITH_AGENT
from harness import TARGETS

pytestmark = [WITH_AGENT, pytest.mark.usefixtures("engine")]

FRONT = str(TARGETS / "handed_python.py")
EACH = 40  # requests of a shape
THREADS = (
    *("pooled", "borrower", "batch", "patient", "prefetch", "requeue", "flush"),
    *("lazy", "drain", "lent", "grown", "later", "sentinel", "raising"),
)
LOOP = ("apooled", "aborrower", "abatch", "arequeue", "agrown", "atimed", "abackground", "acancelled")


@pytest.mark.parametrize(("server", "shapes", "right"), [("threads", THREADS, "pooled"), ("loop", LOOP, "apooled")])
def test_no_call_is_given_to_another_request(server: str, shapes: tuple[str, ...], right: str) -> None:
    row = Row("", "Python", lambda port, back: (sys.executable, FRONT, str(port), str(back), server), shapes)
    verdicts = measure(row, "agent", EACH * len(shapes))
    assert verdicts.failed == 0
    assert verdicts.wrongs == []
    made = [shape for shape in shapes if shape != "acancelled"]
    assert {shape: verdicts.calls[shape].total() for shape in made} == dict.fromkeys(made, EACH)
    assert verdicts.calls[right]["right"] == EACH
