"""Holds the figures of two runs against each other: `make bench-compare A=old.json B=new.json`.

Ratios to the untouched program are compared, as absolute figures tell of the machine and of its day. Two agree where
their spreads overlap.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from figures import Group, Ratio, groups, lost, total
from model import AGAIN, UNTOUCHED, Report
from verdicts import KINDS, Kind, load, spread

AGREES, BETTER, WORSE = "agrees", "better", "worse"


def judged(old: Ratio, new: Ratio, kind: Kind) -> str:
    """What became of a ratio."""
    if old.low <= new.high and new.low <= old.high:
        return AGREES
    return BETTER if (new.median > old.median) == (kind.better > 0) else WORSE


def compare(old: Report, new: Report) -> Iterator[str]:
    """The lines to print: what differs, what only one of them has, and how many agree."""
    before, after = _found(old), _found(new)
    counts = dict.fromkeys((AGREES, BETTER, WORSE), 0)
    for key in before.keys() & after.keys():
        counts[judged(before[key][0], after[key][0], before[key][1])] += 1
    for name in ("kernel", "CPU", "cores"):
        if old.machine.get(name) != new.machine.get(name):
            yield f"not the same {name}: {old.machine.get(name)}, then {new.machine.get(name)}"
    if old.quick or new.quick:
        yield "a quick run is among them: its spreads are of few rounds"
    for key, (ratio, kind) in before.items():
        if key not in after:
            yield f"only in the first: {key}"
        elif (what := judged(ratio, after[key][0], kind)) != AGREES:
            yield f"{what}: {key}: {spread(ratio)}, then {spread(after[key][0])}"
    yield from (f"only in the second: {key}" for key in after if key not in before)
    yield from _counts(old, new)
    yield f"{counts[AGREES]} ratios agree within their spreads, {counts[BETTER]} are better, {counts[WORSE]} are worse"


def _found(report: Report) -> dict[str, tuple[Ratio, Kind]]:
    """Each ratio by what it is of. The fixed rate is no part of that: where the machine is slower, so is it."""
    found = {}
    for group in groups(report):
        how = f"{group.archetype}, {_how(group)}"
        for variant in group.cells:
            for kind in KINDS:
                ratio = group.ratio(variant, kind.measure) if kind.told(group) else None
                if variant not in (UNTOUCHED, AGAIN) and ratio is not None:
                    found[f"{group.program}, {variant}, {how}, {kind.name}"] = ratio, kind
    return found


def _how(group: Group) -> str:
    if group.rate:
        return "at a fixed rate"
    return "as fast as it goes" if group.saturated else "one at a time"


def _counts(old: Report, new: Report) -> Iterator[str]:
    """Spans that were lost and links that were wrong have no spread: any change is told."""
    before = {(group.program, group.archetype, _how(group)): group for group in groups(old)}
    for group in groups(new):
        was = before.get((group.program, group.archetype, _how(group)))
        if was is not None:
            for variant in group.cells.keys() & was.cells.keys():
                yield from _changed(was, group, variant)


def _changed(was: Group, group: Group, variant: str) -> Iterator[str]:
    where = f"{group.program}, {variant}, {load(group)}"
    one, other = was.cells[variant], group.cells[variant]
    if lost(one)[0] != lost(other)[0]:
        yield f"spans lost: {where}: {lost(one)[0]} of {lost(one)[1]}, then {lost(other)[0]} of {lost(other)[1]}"
    if total(one, "wrong") != total(other, "wrong"):
        yield f"wrong links: {where}: {total(one, 'wrong')}, then {total(other, 'wrong')}"


def main() -> int:
    """The exit status: 2 where two files can't be read, else 0; it is for the reader to judge."""
    if len(sys.argv) != 3:
        print("usage: make bench-compare A=old.json B=new.json", file=sys.stderr)
        return 2
    try:
        old, new = (Report.load(Path(name)) for name in sys.argv[1:])
    except (OSError, ValueError, TypeError, KeyError) as error:
        print(f"bench-compare: {error}", file=sys.stderr)
        return 2
    print("\n".join(compare(old, new)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
