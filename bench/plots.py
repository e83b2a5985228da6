"""The pictures of the document: the same ratios and figures as its tables, as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from figures import Group, Measure, cpu_program, cpu_tool, groups, median, p50, p99, throughput
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from model import AGAIN, AGENT, PTRACE, SDK, STRACE, UNTOUCHED, VARIANTS, Cell, Report
from verdicts import MEANINGS

COLOURS = {
    UNTOUCHED: "#555555",
    AGAIN: "#bbbbbb",
    AGENT: "#1b7837",
    PTRACE: "#762a83",
    SDK: "#e08214",
    STRACE: "#2166ac",
}
MIB = 2**20
TOP = 5.0  # times the CPU time of the untouched program, beyond which bars are cut off
# Text stays text, and two pictures of the same figures are the same file.
plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "rbinder", "font.size": 9, "figure.facecolor": "white"}


def draw(report: Report, directory: Path) -> dict[str, str]:
    """All pictures, into the directory; returns their titles and paths as seen from the directory above."""
    every = groups(report)
    fast, fixed = [group for group in every if group.saturated], [group for group in every if group.rate]
    drawn = {
        "Throughput as fast as it goes, relative to the untouched program": ("throughput", fast, throughput),
        "Median latency at a fixed rate, relative to the untouched program": ("latency-p50", fixed, p50),
        "99th percentile of latency at a fixed rate, relative to the untouched program": ("latency-p99", fixed, p99),
    }
    found = {}
    for title, (name, among, measure) in drawn.items():
        if among:
            _ratios(title, among, measure, directory / f"{name}.svg")
            found[title] = f"{directory.name}/{name}.svg"
    for title, name, make in (
        ("CPU time of program (full) and tool (light), relative to the untouched program", "cpu", _cpu),
        ("Memory in MiB at most, of program (full) and tool (light)", "memory", _memory),
    ):
        make(title, report, directory / f"{name}.svg")
        found[title] = f"{directory.name}/{name}.svg"
    return found


def _grid(archetypes: Sequence[str], title: str, height: float = 3.0) -> tuple[Figure, list[Axes]]:
    """A row for each kind of request."""
    rows = len(archetypes)
    figure, axes = plt.subplots(rows, 1, figsize=(9, height * rows), squeeze=False, layout="constrained")
    figure.suptitle(title)
    return figure, [row[0] for row in axes]


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def _ratios(title: str, among: list[Group], measure: Measure, path: Path) -> None:
    """Bars with their spread; a bar that is no difference from the noise is pale."""
    archetypes = list(dict.fromkeys(group.archetype for group in among))
    figure, axes = _grid(archetypes, title)
    shown = [variant for variant in VARIANTS if variant != UNTOUCHED and any(variant in group.cells for group in among)]
    for axis, archetype in zip(axes, archetypes, strict=True):
        here = [group for group in among if group.archetype == archetype]
        for place, variant in enumerate(shown):
            for column, group in enumerate(here):
                found = group.ratio(variant, measure)
                if found is not None:
                    where, width = column + _beside(place, len(shown)), 0.8 / len(shown)
                    sure = 1.0 if group.seen(variant, measure) else 0.4
                    axis.bar(where, found.median, width, color=COLOURS[variant], alpha=sure)
                    axis.vlines(where, found.low, found.high, color="#333333", linewidth=1)
        axis.axhline(1, color="#555555", linewidth=0.8)
        if measure is not throughput:
            axis.set_yscale("log", base=2)
            axis.yaxis.set_major_formatter("{x:g}")
        axis.set_title(MEANINGS.get(archetype, archetype), loc="left")
        _label(axis, [group.program for group in here])
    _legend(figure, shown)
    _save(figure, path)


def _beside(place: int, count: int) -> float:
    return (place - (count - 1) / 2) * 0.8 / count


def _label(axis: Axes, programs: Sequence[str]) -> None:
    axis.set_xticks(range(len(programs)), programs)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, shown: Sequence[str]) -> None:
    handles = [Rectangle((0, 0), 1, 1, color=COLOURS[variant]) for variant in shown]
    figure.legend(handles, shown, loc="outside lower center", ncols=len(shown), frameon=False)


def _stacked(axis: Axes, columns: Sequence[dict[str, tuple[float, float]]], top: float = 0) -> None:
    """For each program the variants: the program's, and the tool's on top. What passes `top` is told in figures."""
    for column, variants in enumerate(columns):
        for place, (variant, (own, tool)) in enumerate(variants.items()):
            where, width = column + _beside(place, len(variants)), 0.8 / len(variants)
            axis.bar(where, own, width, color=COLOURS[variant])
            axis.bar(where, tool, width, bottom=own, color=COLOURS[variant], alpha=0.45)
            if top and own + tool > top:
                axis.text(where, top, f"{own + tool:.0f}", ha="center", va="bottom", fontsize=7)
    if top:
        axis.set_ylim(0, top)


def _cpu(title: str, report: Report, path: Path) -> None:
    every = [group for group in groups(report) if group.saturated or (group.rate and group.archetype != "work")]
    archetypes = list(dict.fromkeys(group.archetype for group in every)) or ["work"]
    figure, axes = _grid(archetypes, title)
    for axis, archetype in zip(axes, archetypes, strict=True):
        here = [group for group in every if group.archetype == archetype and UNTOUCHED in group.cells]
        _stacked(axis, [_shares(group) for group in here], TOP)
        axis.axhline(1, color="#555555", linewidth=0.8)
        axis.set_title(MEANINGS.get(archetype, archetype), loc="left")
        _label(axis, [group.program for group in here])
    _legend(figure, VARIANTS)
    _save(figure, path)


def _shares(group: Group) -> dict[str, tuple[float, float]]:
    """CPU time of the program and of the tool in each variant, relative to the untouched program's."""
    base = median(group.cells[UNTOUCHED], cpu_program)
    parts = {variant: (median(cell, cpu_program), median(cell, cpu_tool)) for variant, cell in _shown(group)}
    return {variant: (own / base, tool / base) for variant, (own, tool) in parts.items()}


def _shown(group: Group) -> Iterable[tuple[str, Cell]]:
    return ((variant, cell) for variant, cell in group.cells.items() if variant in VARIANTS)


def _memory(title: str, report: Report, path: Path) -> None:
    figure, [axis] = _grid([""], title, 4.0)
    taken: dict[str, dict[str, tuple[float, float]]] = {}
    for one in report.footprints:
        taken.setdefault(one.program, {})[one.variant] = one.memory_program / MIB, one.memory_tool / MIB
    _stacked(axis, list(taken.values()))
    _label(axis, list(taken))
    _legend(figure, VARIANTS)
    _save(figure, path)
