"""What runtimes and the C library's own tools do at the edges: the same under the engine agent as without it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from engines import WITH_AGENT
from harness import Rbinder
from processes import below, run, same

pytestmark = WITH_AGENT  # it is inside the program, where such arguments could crash it
Build = Callable[[str], Path]


def test_arguments_that_lead_nowhere(rbinder: Rbinder, build: Build) -> None:
    """The kernel says EFAULT; whoever looks at them first must not die of it."""
    assert same(rbinder, str(build("nowhere.c"))).status == 0


@pytest.mark.parametrize("command", ["LD_TRACE_LOADED_OBJECTS=1 /bin/sh", "ldd /bin/sh"])
def test_libraries_are_listed_as_they_are(rbinder: Rbinder, command: str) -> None:
    """Packaging tools copy what is listed there."""
    untouched, traced = (run(line) for line in (["sh", "-c", command], below(rbinder, "sh", "-c", command)))
    lists = [re.sub(r"\(0x.*", "", outcome.stdout) for outcome in (untouched, traced)]
    assert "libc.so" in lists[0]
    assert lists[0] == lists[1]


@pytest.mark.parametrize("way", ["cancel", "jump"])
def test_a_send_that_never_returns(rbinder: Rbinder, build: Build, way: str) -> None:
    """Its thread is cancelled or elsewhere, and what it was to send unmapped, when another thread reads the answer."""
    assert same(rbinder, str(build("left_sends.c")), way, "3").stdout == "3 answered\n"
