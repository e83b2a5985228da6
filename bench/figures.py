"""From rounds to figures: medians, ratios to the untouched program of the same round, and whether they mean anything.

This file does no input or output: the document, the pictures and the comparison of two runs all say the same.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model import AGAIN, UNTOUCHED, Cell, Report, Round

Measure = Callable[[Round], float]


def throughput(one: Round) -> float:
    """Requests a second."""
    return one.requests / one.seconds


def p50(one: Round) -> float:
    """Seconds."""
    return one.p50


def p99(one: Round) -> float:
    """Seconds."""
    return one.p99


def cpu_program(one: Round) -> float:
    """CPU seconds of the program for 1,000 requests."""
    return one.cpu_program / one.requests * 1000


def cpu_tool(one: Round) -> float:
    """CPU seconds of the tool beside it for 1,000 requests."""
    return one.cpu_tool / one.requests * 1000


def cpu_all(one: Round) -> float:
    """CPU seconds of both for 1,000 requests."""
    return (one.cpu_program + one.cpu_tool) / one.requests * 1000


@dataclass(frozen=True, slots=True)
class Ratio:
    """To the untouched program, round by round: the median, and the least and the most."""

    median: float
    low: float
    high: float

    @property
    def noise(self) -> float:
        """By which factor the furthest round is from 1: of the untouched program against itself, what means nothing."""
        return max(factor(self.low), factor(self.high))

    def seen(self, noise: Ratio | None) -> bool:
        """Whether it is further from 1 than anything that is noise; without knowing the noise, nothing is."""
        return noise is not None and factor(self.median) > noise.noise


def factor(ratio: float) -> float:
    """How far a ratio is from 1, up or down."""
    return max(ratio, 1 / ratio) if ratio > 0 else math.inf


def ratio(cell: Cell, base: Cell, measure: Measure) -> Ratio:
    """Of the rounds that both have. Raises ValueError where there are none."""
    pairs = [(measure(one), measure(other)) for one, other in zip(cell.rounds, base.rounds, strict=False)]
    ratios = [one / other for one, other in pairs if other > 0]
    if not ratios:
        raise ValueError("no rounds to compare")
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def processes(cells: Sequence[Cell], base: Sequence[Cell], measure: Measure) -> Ratio:
    """Of several processes, to the mean of several others in the same round: the median process, the least, the most.

    Raises ValueError where there are none.
    """
    means = [statistics.mean(map(measure, turn)) for turn in zip(*(cell.rounds for cell in base), strict=True)]
    each = [
        statistics.median(measure(one) / mean for one, mean in zip(cell.rounds, means, strict=True)) for cell in cells
    ]
    if not each:
        raise ValueError("no processes to compare")
    return Ratio(statistics.median(each), min(each), max(each))


def median(cell: Cell, measure: Measure) -> float:
    """Of all rounds. Raises ValueError where there are none."""
    if not cell.rounds:
        raise ValueError("no rounds")
    return statistics.median(map(measure, cell.rounds))


@dataclass(frozen=True, slots=True)
class Group:
    """The variants of one program under one kind of load."""

    program: str
    archetype: str
    rate: int
    connections: int
    cells: dict[str, Cell]

    @property
    def saturated(self) -> bool:
        """As many requests at a time as there are connections, and these are several."""
        return not self.rate and self.connections > 1

    def ratio(self, variant: str, measure: Measure) -> Ratio | None:
        """To the untouched program; None where one of the two was not measured."""
        cell, base = self.cells.get(variant), self.cells.get(UNTOUCHED)
        if cell is None or base is None or not cell.rounds or not base.rounds:
            return None
        return ratio(cell, base, measure)

    def seen(self, variant: str, measure: Measure) -> bool:
        """Whether the difference is larger than any that the untouched program showed against itself."""
        found = self.ratio(variant, measure)
        return found is not None and found.seen(self.ratio(AGAIN, measure))


def groups(report: Report) -> list[Group]:
    """In the order in which they were measured."""
    found: dict[tuple[str, str, bool, int], Group] = {}
    for cell in report.cells:
        key = cell.program, cell.archetype, bool(cell.rate), cell.connections
        group = found.setdefault(key, Group(cell.program, cell.archetype, cell.rate, cell.connections, {}))
        if cell.rounds:
            group.cells[cell.variant] = cell
    return list(found.values())


def programs(report: Report) -> list[str]:
    """In the order in which they were measured."""
    return list(dict.fromkeys(cell.program for cell in report.cells))


def lost(cell: Cell) -> tuple[int, int]:
    """Spans that did not come, and how many were expected. More than expected come of requests cut off at the end."""
    return (
        sum(max(0, one.expected_spans - one.spans) for one in cell.rounds),
        sum(one.expected_spans for one in cell.rounds),
    )


def total(cell: Cell, name: str) -> int:
    """Of a field of all rounds."""
    return sum(getattr(one, name) for one in cell.rounds)
