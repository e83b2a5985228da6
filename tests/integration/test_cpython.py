"""The adapter for CPython, beside what tests/attribution counts: what a program sees of it, and when it stays away."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from attribution import python
from attribution.measure import measure
from engines import WITH_AGENT
from harness import DEADLINE, TARGETS, clean_environment

REQUESTS = 256
RBINDER = (sys.executable, "-m", "rbinder", "-q", "-x", "none", "-e", "agent")

pytestmark = WITH_AGENT


def inside(*words: str, prefix: tuple[str, ...] = ()) -> dict[str, object]:
    command = [*prefix, sys.executable, str(TARGETS / "inside_python.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(), timeout=4 * DEADLINE)
    assert done.stderr == ""
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_program_sees_one_context_variable_and_nothing_else(engine: str) -> None:
    untouched, traced = inside(), inside(prefix=(*RBINDER, "--"))
    assert untouched.pop("variables") == untouched.pop("in_task") == []
    assert traced.pop("variables") == traced.pop("in_task") == ["rbinder"]
    assert traced == untouched


@pytest.mark.parametrize("way", ["sdk", "option"])
def test_it_stays_away(engine: str, way: str) -> None:
    if way == "sdk":
        found = inside("sdk", prefix=(*RBINDER, "--"))
    else:
        found = inside(prefix=(*RBINDER, "--no-runtime-hooks", "--"))
    assert found["variables"] == found["in_task"] == []


def test_without_it_the_rules_remain(engine: str) -> None:
    """An event loop's later calls are unbound then, and still none is wrong."""
    row = replace(python.small()[0], shapes=("sleep",))
    verdicts = measure(row, engine, REQUESTS, options=("--no-runtime-hooks",))
    assert verdicts.failed == 0
    assert verdicts.total("wrong") == 0
    assert verdicts.total("unbound") > 0


def test_a_call_that_leaves_after_the_answer_is_for_nobody(engine: str) -> None:
    """Its connection serves the next request by then, and that isn't its."""
    row = replace(python.small()[1], shapes=("forget", "sleep"))
    verdicts = measure(row, engine, REQUESTS)
    assert verdicts.failed == 0
    assert verdicts.total("wrong") == 0
    assert verdicts.calls["sleep"]["unbound"] == 0
