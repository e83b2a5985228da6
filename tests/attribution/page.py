"""docs/attribution.md, made of what was counted. This file does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attribution.outcomes import Outcome
from attribution.rows import UNAWAITED

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
| cut | and given up again (fronts under stress alone) |
| left | for a client that gave up |
| queue, aqueue | in Python: by a thread or coroutine started at boot, from a `queue.Queue` or `asyncio.Queue` |
| thread | in Python: by a thread that is started for it |

`make attribution` generates this page; a small version of each row is part of `make test`.

{machine}
"""


UNDER_STRESS = """\
## Under stress

The same with many more connections, and with clients that close theirs before the answer has come: what is called for
them then may come after the end of their request. The rows named "under stress" stand above: their fronts have little
memory, and beside each request's own calls they cancel timers, give calls up and throw exceptions.
"""


def _way(outcome: Outcome) -> str:
    given_up = ", one request in ten given up" if outcome.disconnect else ""
    return f"{outcome.connections} connections{given_up}, engine `{outcome.engine}`"


def page(outcomes: Sequence[Outcome], machine: str, connections: int) -> str:
    """The whole page."""
    parts = [HEAD.format(machine=machine, connections=connections)]
    usual = (outcomes[0].connections, outcomes[0].disconnect)
    first = [outcome for outcome in outcomes if (outcome.connections, outcome.disconnect) == usual]
    for engine in dict.fromkeys(outcome.engine for outcome in first):
        mine = [outcome for outcome in first if outcome.engine == engine and outcome.verdicts]
        if mine:
            parts += [f"## Engine `{engine}`\n\n{_table(mine)}", _shapes(mine)]
    if any(outcome.verdicts for outcome in outcomes if outcome not in first):
        parts.append(UNDER_STRESS)
    for way in dict.fromkeys(_way(outcome) for outcome in outcomes if outcome not in first):
        mine = [outcome for outcome in outcomes if _way(outcome) == way and outcome.verdicts]
        if mine:
            parts += [f"### {way}\n\n{_table(mine)}", _shapes(mine)]
    missing = list(_missing(outcomes))
    if missing:
        parts.append("## Not measured\n\n" + "\n".join(missing) + "\n")
    return "\n".join(parts)


def _missing(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The rows without figures, together where the reason is the same."""
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.why:
            found.setdefault(f"{_way(outcome)}: {outcome.why}", []).append(outcome.row.name)
    for why, names in found.items():
        yield f"- {why}: {'; '.join(names)}"


def _table(outcomes: Sequence[Outcome]) -> str:
    titles = "| row | requests | calls | right | wrong | unbound | after the answer | failed |"
    lines = [titles, "| --- " + "| ---: " * 7 + "|"]
    for outcome in outcomes:
        found = outcome.verdicts
        if found is None:
            continue
        late = sum(found.calls[shape]["unbound"] for shape in UNAWAITED if shape in found.calls)
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
            late = count["unbound"] if shape in UNAWAITED else 0
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
