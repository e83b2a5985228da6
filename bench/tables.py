"""The tables of the document, as Markdown. This file does no input or output."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence

from figures import (
    Group,
    Measure,
    Ratio,
    cpu_all,
    cpu_program,
    cpu_tool,
    groups,
    lost,
    median,
    processes,
    programs,
    throughput,
    total,
)
from figures import p50 as latency50
from figures import p99 as latency99
from model import (
    AGAIN,
    AGENT,
    PARTS,
    PTRACE,
    SDK,
    UNASKED,
    UNTOUCHED,
    VARIANTS,
    Cell,
    Footprint,
    Report,
)
from verdicts import Kind, load, spread

UNSEEN = "no difference seen"
TRACING = (AGENT, PTRACE, SDK)
MIB = 2**20


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> Iterator[str]:
    """Lines of a table, of which the last so many columns are numbers; nothing where there are no rows."""
    kept = [list(row) for row in rows]
    if kept:
        left = len(head) - numbers
        yield from (_row(head), _row(["---"] * left + ["---:"] * numbers), *map(_row, kept), "")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def difference(group: Group, variant: str, measure: Measure) -> str:
    """The ratio to the untouched program with its spread, or that it is none."""
    found = group.ratio(variant, measure)
    if found is None:
        return ""
    return spread(found) if variant == AGAIN or group.seen(variant, measure) else UNSEEN


def overview(report: Report, kind: Kind) -> Iterator[str]:
    """A measure of all programs and loads of which it is told: each variant's ratio to the untouched program."""
    rows = []
    for group in groups(report):
        if kind.told(group) and UNTOUCHED in group.cells:
            base = absolute(median(group.cells[UNTOUCHED], kind.measure), kind.measure)
            others = [difference(group, variant, kind.measure) for variant in VARIANTS if variant != UNTOUCHED]
            rows.append([group.program, load(group), base, *others])
    return table(["program", "load", *VARIANTS], rows, len(VARIANTS))


def parts(report: Report) -> Iterator[str]:
    """The agent in parts, of several processes each: throughput, or latency one at a time; then the program's CPU."""
    rows = []
    for program, connections in dict.fromkeys((cell.program, cell.connections) for cell in report.parts):
        cells = [cell for cell in report.parts if (cell.program, cell.connections) == (program, connections)]
        of = {name: [cell for cell in cells if cell.variant == name] for name in PARTS}
        what, measure = ("throughput", throughput) if connections > 1 else ("median latency", latency50)
        for title, one in ((what, measure), ("CPU of the program", cpu_program)):
            ratios = [_among(of[name], of[UNTOUCHED], one) for name in PARTS]
            rows.append([program, str(connections), title, *ratios, _among(of[AGENT], of[UNASKED], one)])
    head = ["program", "connections", "", *PARTS, "agent, to the same not asking"]
    return table(head, rows, len(PARTS) + 1)


def _among(cells: Sequence[Cell], base: Sequence[Cell], measure: Measure) -> str:
    return spread(processes(cells, base, measure)) if cells and base else ""


def absolute(value: float, measure: Measure) -> str:
    """With its unit: requests a second; milliseconds; for CPU time, seconds for 1,000 requests."""
    if measure is throughput:
        return f"{value:,.0f}/s"
    if measure in (latency50, latency99):
        return f"{value * 1000:.2f} ms"
    return f"{value:.3f} s"


_COLUMNS: tuple[tuple[str, Measure, bool], ...] = (
    ("throughput", throughput, True),
    ("p50", latency50, True),
    ("p99", latency99, True),
    ("CPU of the program", cpu_program, True),
    ("CPU of the tool", cpu_tool, False),
    ("CPU of both", cpu_all, True),
)


def details(group: Group) -> Iterator[str]:
    """Everything about one program under one kind of load."""
    rows = []
    for variant, cell in group.cells.items():
        row = [variant]
        for _, measure, compared in _COLUMNS:
            value = absolute(median(cell, measure), measure)
            if compared and variant != UNTOUCHED:
                value = f"{value}, {difference(group, variant, measure)}".rstrip(", ")
            row.append(value)
        rows.append([*row, *_delivered(variant, [cell])])
    return table(["", *(name for name, _, _ in _COLUMNS), "spans lost", "linked"], rows, len(_COLUMNS) + 2)


def _delivered(variant: str, cells: Sequence[Cell]) -> list[str]:
    """Spans lost, and calls that carried their own request's trace."""
    if variant not in TRACING:
        return ["–", "–"]
    gone, expected = (sum(numbers) for numbers in zip(*map(lost, cells), strict=True))
    linked, calls = (sum(total(cell, name) for cell in cells) for name in ("linked", "calls"))
    return [f"{gone:,} of {expected:,}", share(linked, calls)]


def share(part: int, whole: int) -> str:
    """Rounded down, so that only all of it is 100 %."""
    return f"{part * 1000 // whole / 10:.1f} %" if whole else "–"


def spans(report: Report) -> Iterator[str]:
    """What came of the spans and of the links of each program, under all kinds of load together."""
    rows = []
    for program in programs(report):
        for variant in TRACING:
            own = (group for group in groups(report) if group.program == program)
            cells = [group.cells[variant] for group in own if variant in group.cells]
            if cells:
                received, wrong = (sum(total(cell, name) for cell in cells) for name in ("spans", "wrong"))
                gone, linked = _delivered(variant, cells)
                rows.append([program, variant, f"{received:,}", gone, linked, f"{wrong:,}"])
    return table(["program", "variant", "spans received", "lost", "calls linked", "wrong"], rows, 4)


def footprints(report: Report) -> Iterator[str]:
    """Memory at most, and from the start to the first answer."""
    rows = []
    for one in report.footprints:
        base, again = (_of(report, one.program, variant) for variant in (UNTOUCHED, AGAIN))
        took = f"{statistics.median(one.starts):.2f} s" if one.starts else "–"
        memory = [f"{one.memory_program / MIB:.0f} MiB", f"{one.memory_tool / MIB:.0f} MiB" if one.memory_tool else "–"]
        rows.append([one.program, one.variant, *memory, took, later(one, base, again)])
    return table(["program", "variant", "memory of the program", "of the tool", "first answer", "later"], rows, 4)


def later(one: Footprint, base: Footprint | None, again: Footprint | None) -> str:
    """Than the untouched program: of the same turn, the median, the least and the most."""
    if base is None or again is None or one.variant == UNTOUCHED or len(one.starts) != len(base.starts):
        return ""
    found, noise = (_beyond(some, base) for some in (one, again))
    if one is not again and abs(found.median) <= max(abs(noise.low), abs(noise.high)):
        return UNSEEN
    return f"{found.median:+.2f} s ({found.low:+.2f} to {found.high:+.2f})"


def _beyond(one: Footprint, base: Footprint) -> Ratio:
    """Differences rather than ratios: what a start takes longer doesn't depend on how long it takes."""
    beyond = [late - early for late, early in zip(one.starts, base.starts, strict=False)]
    return Ratio(statistics.median(beyond), min(beyond), max(beyond))


def _of(report: Report, program: str, variant: str) -> Footprint | None:
    return next((one for one in report.footprints if (one.program, one.variant) == (program, variant)), None)


def pairs(head: tuple[str, str], found: dict[str, str]) -> Iterator[str]:
    """A table of names and values."""
    return table(head, found.items(), 0)


def sizes(report: Report) -> Iterator[str]:
    """What would be added to an image."""
    return table(["", "MiB"], [[name, f"{size / MIB:.1f}"] for name, size in report.sizes.items()], 1)
