"""What the figures say in words: the sentence to quote, and where rbinder wins and loses.

This file does no input or output. Every sentence is made of figures, and one that favours rbinder has the same form as
one that doesn't.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from figures import (
    Group,
    Measure,
    Ratio,
    cpu_all,
    groups,
    p50,
    p99,
    ratio,
    throughput,
    total,
)
from model import AGAIN, AGENT, PTRACE, SDK, UNTOUCHED, Footprint, Report

ENGINES = (AGENT, PTRACE)
MEANINGS = {"hello": "hello (no call)", "work": "trivial", "cpu": "CPU-bound", "io": "I/O-bound", "mixed": "mixed"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A measure that is told of a kind of load: `better` is 1 where more is better, -1 where less is."""

    name: str
    measure: Measure
    better: int

    def told(self, group: Group) -> bool:
        """At a fixed rate the throughput is given; as fast as it goes one of them follows from the other."""
        return self.measure is cpu_all or group.saturated == (self.measure is throughput)


KINDS = (
    Kind("throughput", throughput, 1),
    Kind("median latency", p50, -1),
    Kind("99th percentile of latency", p99, -1),
    Kind("CPU time of program and tool", cpu_all, -1),
)


def load(group: Group) -> str:
    """The kind of load in words."""
    how = f"{group.rate} requests/s" if group.rate else "as fast as it goes" if group.saturated else "one at a time"
    return f"{MEANINGS.get(group.archetype, group.archetype)}, {how}"


def spread(found: Ratio) -> str:
    """A ratio with its least and its most."""
    return f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"


def sentence(report: Report) -> str:
    """What can be quoted: throughput, latency and CPU time under the agent, and in the same words under its own SDK."""
    every = groups(report)
    fast = [group for group in every if group.archetype == "work" and group.saturated]
    slow = [group for group in every if group.archetype == "mixed" and group.rate]
    told = []
    if kept := _middle(fast, AGENT, throughput, min):
        text = (
            "Under rbinder's agent, a program that only passes requests on, as fast as it can, keeps of its untouched "
            f"throughput {kept}"
        )
        peer = _middle(fast, SDK, throughput, min)
        told.append(text + (f"; with its own SDK {peer}." if peer else "."))
    if taken := _middle(slow, AGENT, cpu_all, max):
        text = (
            "At a fixed rate of requests that compute and wait, no difference in median latency is seen in "
            f"{_unseen(slow, AGENT)}, and the CPU time, rbinder's own processes included, is, of the "
            f"untouched program's, {taken}"
        )
        peer = _middle(slow, SDK, cpu_all, max)
        told.append(text + (f"; with its own SDK {_unseen(slow, SDK)}, and {peer}." if peer else "."))
    if ours := linked(report, AGENT):
        peers = linked(report, SDK)
        text = f"All calls are linked to the requests that they are made for in {_all(ours)}"
        told.append(text + (f"; with its own SDK in {_all(peers)}." if peers else "."))
    return " ".join(told) or "Nothing was measured that a sentence could be made of."


def _middle(among: Sequence[Group], variant: str, measure: Measure, worst: Callable[..., str]) -> str:
    """The median of the programs' ratios, and the worst of them; "" where there are none."""
    found = {group.program: one.median for group in among if (one := group.ratio(variant, measure)) is not None}
    if not found:
        return ""
    name = worst(found, key=lambda program: found[program])
    middle = statistics.median(found.values())
    same = sum(not group.seen(variant, measure) for group in among if variant in group.cells)
    noise = f"; no difference is seen in {same}" if same else ""
    return f"{middle:.0%} (the median of {len(found)}; the worst, {name}, {found[name]:.0%}{noise})"


def _all(shares: dict[str, float]) -> str:
    return f"{sum(share == 1 for share in shares.values())} of {len(shares)} programs"


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

    yield from _of_the_whole(report)


def _of_the_whole(report: Report) -> Iterator[str]:
    """What is not of a kind of load: links, memory and the start, of every variant that traces."""
    yield "### Links, memory, start"
    yield ""
    for variant in (*ENGINES, SDK):
        known = linked(report, variant)
        if known:
            less = [f"{program} {math.floor(share * 1000) / 10}%" for program, share in known.items() if share < 1]
            some = f"; less in {', '.join(less)}" if less else ""
            yield f"- `{variant}` links all calls in {len(known) - len(less)} of {len(known)} programs{some}."
    for what, measure in (("memory of program and tool together", _memory), ("seconds until the first answer", _start)):
        for variant in (*ENGINES, SDK):
            told = ", ".join(_more(report, variant, measure))
            if told:
                yield f"- {what}, `{variant}` beyond the untouched program: {told}."
    yield ""


def linked(report: Report, variant: str) -> dict[str, float]:
    """The share of calls that carried the trace of their own request, by program."""
    counts: dict[str, tuple[int, int]] = {}
    for group in groups(report):
        if (cell := group.cells.get(variant)) is not None and total(cell, "calls"):
            linked, calls = counts.get(group.program, (0, 0))
            counts[group.program] = linked + total(cell, "linked"), calls + total(cell, "calls")
    return {program: linked / calls for program, (linked, calls) in counts.items()}


def _memory(one: Footprint) -> float:
    return (one.memory_program + one.memory_tool) / 2**20


def _start(one: Footprint) -> float:
    return statistics.median(one.starts)


def _more(report: Report, variant: str, measure: Callable[[Footprint], float]) -> Iterator[str]:
    found = {(one.program, one.variant): measure(one) for one in report.footprints if one.starts}
    for program, name in found:
        if name == variant and {(program, UNTOUCHED), (program, AGAIN)} <= found.keys():
            base = found[program, UNTOUCHED]
            more, noise = found[program, variant] - base, abs(found[program, AGAIN] - base)
            unit = f"{more:+.0f} MiB" if measure is _memory else f"{more:+.2f} s"
            yield f"{program} {unit if abs(more) > noise else 'no difference seen'}"


def _told(kind: Kind, every: list[Verdict]) -> Iterator[str]:
    if not every:
        return
    same = sum(one.better == 0 for one in every)
    yield f"- {kind.name}, {len(every)} comparisons; no difference seen in {same}."
    for word, sign in (("worse", -1), ("better", 1)):
        some = sorted((one for one in every if one.better == sign), key=lambda one: kind.better * one.found.median)
        if some:
            yield f"  - {word} in {len(some)}: " + "; ".join(map(str, some if sign < 0 else reversed(some))) + "."
