"""docs/attribution.md, made of what was counted. This file does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attribution.rows import LATE, Row
from attribution.traffic import LEFT, Verdicts

HEAD = """\
# Attribution

Whose call was it? Each row is a front in one runtime that answers `/work?id=N` by calling `/leaf?id=N` of a back end,
which compares the call's number with the trace it came in: **right** (the trace of the request it was made for),
**wrong** (another request's) or **unbound** (a trace of its own). {connections} connections ask at once, for all shapes
mixed; the back end answers after 0-8 ms, one in twenty after 0-40 ms.

| shape | the call is made |
| --- | --- |
| once | at once |
| sleep | after a sleep |
| io | after other input or output |
| fan | three times at the same time |
| nested | twice, one after the other |
| limited | through a pool of three connections |
| forget | without anybody waiting for it: what is sent after the answer belongs to no request, and is unbound |
| pool | by a worker that was started at boot |

`make attribution` generates this page; a small version of each row is part of `make test`.

{machine}
"""


@dataclass(frozen=True)
class Outcome:
    """`verdicts` None: the row could not be run; `why` says so."""

    row: Row
    engine: str
    requests: int
    verdicts: Verdicts | None
    why: str = ""


def page(outcomes: Sequence[Outcome], machine: str, connections: int) -> str:
    """The whole page."""
    parts = [HEAD.format(machine=machine, connections=connections)]
    for engine in dict.fromkeys(outcome.engine for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.engine == engine]
        parts.append(f"## Engine `{engine}`\n\n{_table(mine)}")
        parts.append(_shapes(mine))
    missing = [f"- {outcome.row.name}, `{outcome.engine}`: {outcome.why}" for outcome in outcomes if outcome.why]
    if missing:
        parts.append("## Not measured\n\n" + "\n".join(missing) + "\n")
    return "\n".join(parts)


def _table(outcomes: Sequence[Outcome]) -> str:
    titles = "| row | requests | calls | right | wrong | unbound | after the answer | failed |"
    lines = [titles, "| --- " + "| ---: " * 7 + "|"]
    for outcome in outcomes:
        found = outcome.verdicts
        if found is None:
            continue
        late = sum(found.calls[shape]["unbound"] for shape in (LATE, LEFT) if shape in found.calls)
        right = _share(found.total("right"), found.total() - late)
        lines.append(
            f"| {outcome.row.name} | {outcome.requests} | {found.total()} | {right} | {found.total('wrong')} "
            f"| {found.total('unbound') - late} | {late} | {found.failed} |"
        )
    return "\n".join(lines) + "\n"


def _shapes(outcomes: Sequence[Outcome]) -> str:
    """By shape, what isn't right everywhere; and why, where that is known."""
    lines = []
    for outcome in outcomes:
        calls = outcome.verdicts.calls if outcome.verdicts else {}
        for shape, count in calls.items():
            late = count["unbound"] if shape in (LATE, LEFT) else 0
            if count["right"] + late != count.total():
                lines.append(
                    f"| {outcome.row.name} | {shape} | {_share(count['right'], count.total() - late)} "
                    f"| {count['wrong']} | {count['unbound'] - late} | {outcome.row.loose.get(shape, '')} |"
                )
    if not lines:
        return "Every shape of every row is right.\n"
    titles = "| row | shape | right | wrong | unbound | why |\n| --- | --- | ---: | ---: | ---: | --- |"
    return "\n".join([titles, *sorted(lines)]) + "\n"


def _share(part: int, whole: int) -> str:
    """In percent, and 100 only if it is all."""
    if not whole:
        return "-"
    share = 100 * part / whole
    return "100 %" if part == whole else f"{min(share, 99.99):.2f} %"
