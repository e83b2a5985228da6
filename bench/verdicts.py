"""What the figures say in words: the sentence to quote, where rbinder wins and loses, what costs most, what went wrong.

This file does no input or output. Every sentence is made of figures, and one that favours rbinder has the same form as
one that doesn't.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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
    p50,
    p99,
    ratio,
    throughput,
    total,
)
from model import AGAIN, AGENT, PTRACE, SDK, UNTOUCHED, Cell, Report

ENGINES = (AGENT, PTRACE)
MEANINGS = {"hello": "hello (no call)", "work": "trivial", "cpu": "CPU-bound", "io": "I/O-bound", "mixed": "mixed"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A measure that is told of a kind of load: `better` is 1 where more is better, -1 where less is."""

    name: str
    measure: Measure
    better: int

    def told(self, group: Group) -> bool:
        """At a fixed rate the throughput is given, and as fast as it goes the latency follows from it."""
        return self.measure is cpu_all or bool(group.rate) == (self.measure is not throughput)


KINDS = (
    Kind("throughput", throughput, 1),
    Kind("median latency", p50, -1),
    Kind("99th percentile of latency", p99, -1),
    Kind("CPU time of program and tool", cpu_all, -1),
)


def load(group: Group) -> str:
    """The kind of load in words."""
    how = f"{group.rate} requests/s" if group.rate else "as fast as it goes"
    return f"{MEANINGS.get(group.archetype, group.archetype)}, {how}"


def spread(found: Ratio) -> str:
    """A ratio with its least and its most."""
    return f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"


def sentence(report: Report) -> str:
    """What can be quoted: throughput, latency and CPU time under the agent, and in the same words under its own SDK."""
    every = groups(report)
    fast = [group for group in every if group.archetype == "work" and not group.rate]
    slow = [group for group in every if group.archetype == "mixed" and group.rate]
    told = []
    if kept := _middle(fast, AGENT, throughput, min):
        text = f"Under rbinder's agent, a program that only passes requests on, as fast as it can, keeps {kept}"
        peer = _middle(fast, SDK, throughput, min)
        told.append(text + (f"; with its own SDK {peer}." if peer else "."))
    if taken := _middle(slow, AGENT, cpu_all, max):
        text = (
            "At a fixed rate of requests that compute and wait, no difference in median latency is seen in "
            f"{_unseen(slow, AGENT)}, and the CPU time, rbinder's own processes included, is {taken}"
        )
        peer = _middle(slow, SDK, cpu_all, max)
        told.append(text + (f"; with its own SDK {_unseen(slow, SDK)}, and {peer}." if peer else "."))
    return " ".join(told) or "Nothing was measured that a sentence could be made of."


def _middle(among: Sequence[Group], variant: str, measure: Measure, worst: Callable[..., str]) -> str:
    """The median of the programs' ratios, and the worst of them; "" where there are none."""
    found = {group.program: one.median for group in among if (one := group.ratio(variant, measure)) is not None}
    if not found:
        return ""
    name = worst(found, key=lambda program: found[program])
    what = "of its untouched throughput" if measure is throughput else "of the untouched program's"
    middle = statistics.median(found.values())
    return f"{middle:.0%} {what} (the median of {len(found)}; the worst is {name} with {found[name]:.0%})"


def _unseen(among: Sequence[Group], variant: str) -> str:
    known = [group for group in among if variant in group.cells]
    return f"{sum(not group.seen(variant, p50) for group in known)} of {len(known)} programs"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One comparison: how the variant did against the other; `better` is 1, -1, or 0 where no difference was seen."""

    group: Group
    kind: Kind
    found: Ratio
    better: int

    def __str__(self) -> str:
        return f"{self.group.program}, {load(self.group)}: {spread(self.found)}"


def verdicts(report: Report, variant: str, other: str) -> Iterator[Verdict]:
    """Of everything that both were measured in. The noise is the untouched program's against itself."""
    for group in groups(report):
        if variant not in group.cells or other not in group.cells:
            continue
        for kind in KINDS:
            if kind.told(group):
                found = ratio(group.cells[variant], group.cells[other], kind.measure)
                seen = found.seen(group.ratio(AGAIN, kind.measure))
                yield Verdict(group, kind, found, kind.better * (1 if found.median > 1 else -1) if seen else 0)


def losses_and_wins(report: Report) -> Iterator[str]:
    """For both engines, against the untouched program and against its own SDK: losses before wins, the worst first."""
    for variant in ENGINES:
        for other in (UNTOUCHED, SDK):
            every = list(verdicts(report, variant, other))
            if every:
                yield f"### `{variant}` against {'the untouched program' if other == UNTOUCHED else 'its own SDK'}"
                yield ""
                for kind in KINDS:
                    yield from _told(kind, [one for one in every if one.kind is kind])
                yield ""


def _told(kind: Kind, every: list[Verdict]) -> Iterator[str]:
    if not every:
        return
    same = sum(one.better == 0 for one in every)
    yield f"- {kind.name}, {len(every)} comparisons; no difference seen in {same}."
    for word, sign in (("worse", -1), ("better", 1)):
        some = sorted((one for one in every if one.better == sign), key=lambda one: kind.better * one.found.median)
        if some:
            yield f"  - {word} in {len(some)}: " + "; ".join(map(str, some if sign < 0 else reversed(some))) + "."


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
    fast = {group.program: group for group in groups(report) if group.archetype == "work" and not group.rate}
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
