"""Prints what one of each costs: pytest-benchmark times stretches of many."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests"), str(ROOT / "tests" / "unit")]

_measured: list[tuple[str, float, float]] = []  # what, nanoseconds: median, interquartile range


@pytest.fixture
def cost(benchmark: BenchmarkFixture) -> Callable[[str, int, Callable[[], int]], None]:
    """cost(what, count, work): `work` does it `count` times, and returns how often it did it well."""

    def measure(what: str, count: int, work: Callable[[], int]) -> None:
        assert benchmark(work) == count
        stats = benchmark.stats.stats
        _measured.append((what, stats.median / count * 1e9, stats.iqr / count * 1e9))

    return measure


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The medians."""
    terminalreporter.section("one of each: median, and interquartile range")
    for what, median, spread in _measured:
        terminalreporter.line(f"{median:12,.0f} ns  ±{spread:10,.0f}   {what}")
