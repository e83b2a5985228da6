"""The adapter for Ruby where a program looks closely, hands work over in odd ways, or wants to be left alone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from engines import WITH_AGENT
from harness import DEADLINE, TARGETS, clean_environment

from attribution import ruby
from attribution.measure import measure
from attribution.rows import SHAPES, Row

pytestmark = [WITH_AGENT, pytest.mark.usefixtures("engine")]

REQUESTS = 128
SEEN = str(TARGETS / "seen_ruby.rb")
FRONT = str(TARGETS / "shapes_ruby.rb")
LOADS = "$0 = ARGV[0]; load ARGV.shift"
COMPACTS = "GC.auto_compact = true; Thread.new { 40.times { GC.compact; sleep(0.01) } }"
# By its name alone.
TRACER = "module OpenTelemetry; module SDK; end; end"


def front(*words: str, shapes: tuple[str, ...] = ("pool",)) -> Row:
    row = Row("", "Ruby", lambda port, back: ("env", f"BACK={back}", "ruby", *words, FRONT, str(port), "threads"))
    return replace(row, shapes=shapes)


def said(*prefix: str) -> bytes:
    """By a program that prints what it sees of itself, with all of Ruby's warnings."""
    command = [*prefix, "ruby", "-w", SEEN]
    done = subprocess.run(
        command,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=4 * DEADLINE,
        check=True,
    )
    return done.stdout


def test_nothing_is_seen() -> None:
    traced = said(sys.executable, "-m", "rbinder", "-q", "-x", "none", "-e", "agent", "--")
    assert traced.decode() == said().decode()


def test_odd_ways() -> None:
    """Pools that grow, batches, what is put back, queued again, or done late: unbound at worst."""
    verdicts = measure(ruby.odd(), "agent", 5 * REQUESTS)
    assert verdicts.failed == 0
    assert set(verdicts.calls) == set(SHAPES)
    assert verdicts.wrongs == []


def test_memory_is_compacted() -> None:
    """Objects are moved by the garbage collector, again and again."""
    verdicts = measure(front("-e", f"{COMPACTS}; {LOADS}"), "agent", REQUESTS)
    assert verdicts.failed == 0
    assert verdicts.total("right") == verdicts.total() == REQUESTS


@pytest.mark.parametrize(
    ("words", "options"),
    [((), ("--no-runtime-hooks",)), (("-e", f"{TRACER}; {LOADS}"), ())],
    ids=["not wanted", "traced"],
)
def test_stays_away(words: tuple[str, ...], options: tuple[str, ...]) -> None:
    """A hand-over can't be followed then."""
    verdicts = measure(front(*words), "agent", REQUESTS, options=options)
    assert verdicts.failed == 0
    assert verdicts.total("unbound") == verdicts.total() == REQUESTS


def test_comes_along() -> None:
    """The same program without a word of any tracer."""
    verdicts = measure(front("-e", LOADS), "agent", REQUESTS)
    assert verdicts.total("right") == verdicts.total() == REQUESTS
