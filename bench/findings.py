"""What costs most, and what is missing or went wrong: said in words, from the figures. No input, no output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from figures import Group, cpu_program, cpu_tool, groups, lost, median, throughput, total
from model import AGENT, PTRACE, UNTOUCHED, Cell, Report
from verdicts import load


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds for 1,000 requests, of which process, and the profile that shows where they go."""

    title: str
    seconds: float
    profile: str


def _added(group: Group, variant: str) -> float:
    return median(group.cells[variant], cpu_program) - median(group.cells[UNTOUCHED], cpu_program)


def _beside(group: Group, variant: str) -> float:
    return median(group.cells[variant], cpu_tool)


_COSTS: dict[tuple[str, str], tuple[str, Callable[[Group, str], float]]] = {
    (AGENT, "program"): ("what the agent adds to the program", _added),
    (AGENT, "tool"): ("rbinder's processes beside the agent", _beside),
    (PTRACE, "program"): ("what being stopped adds to the program", _added),
    (PTRACE, "tool"): ("rbinder's processes with ptrace", _beside),
}


def costs(report: Report) -> list[Cost]:
    """The three largest, of the program that was profiled."""
    found = []
    fast = {group.program: group for group in groups(report) if group.archetype == "work" and group.saturated}
    for name, text in report.profiles.items():
        variant, whose, program = name.split(", ", 2)
        group = fast.get(program)
        if group is not None and {variant, UNTOUCHED} <= set(group.cells) and (variant, whose) in _COSTS:
            title, seconds = _COSTS[variant, whose]
            found.append(Cost(f"{title} ({program})", seconds(group, variant), text))
    return sorted(found, key=lambda cost: -cost.seconds)[:3]


def wrongs(report: Report) -> Iterator[str]:
    """What is missing, and what did not go as it should."""
    for what, why in report.missing.items():
        yield f"{what}: not measured: {why}"
    for group in groups(report):
        for variant, cell in group.cells.items():
            for what in _wrong(group, cell):
                yield f"{group.program}, {variant}, {load(group)}: {what}"


def _wrong(group: Group, cell: Cell) -> Iterator[str]:
    errors, answered = total(cell, "errors"), total(cell, "requests")
    if errors:
        yield f"{errors} of {errors + answered} requests failed"
    if group.rate and (reached := median(cell, throughput)) < 0.9 * group.rate:
        yield f"the rate was not kept, {reached:.0f} requests/s were answered"
    gone, expected = lost(cell)
    if gone:
        yield f"{gone} of {expected} spans did not come"
    wrong, calls = total(cell, "wrong"), total(cell, "calls")
    if wrong:
        yield f"{wrong} of {calls} calls carried the trace of another request"
    unbound = calls - wrong - total(cell, "linked")
    if expected and unbound:
        yield f"{unbound} of {calls} calls did not carry the trace of the request that they were made for"
