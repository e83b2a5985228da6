"""The document of `make bench`, and the comparison of two runs, from figures that are made up."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path

import compare
import pytest
import report as document
from differences import COMPILED, samples, told
from figures import Group, cpu_all, groups, lost, median, throughput
from findings import costs, wrongs
from loads import judged
from model import AGAIN, AGENT, PTRACE, SDK, UNASKED, UNTOUCHED, Cell, Footprint, Report, Round
from profiles import summary
from programs import Failure
from tables import UNSEEN, details, difference, footprints, overview, parts, share, table
from verdicts import KINDS, sentence, verdicts

FAST, STEADY = 0, 100


def rounds(rates: Sequence[float], cpu: float = 1.0, tool: float = 0.0, **more: int) -> list[Round]:
    """One of a second for each rate; CPU time is given for 1,000 requests, the latencies are 8 and 80 s by the rate."""
    return [
        Round(int(rate), 0, 1.0, 8 / rate, 80 / rate, cpu * rate / 1000, tool * rate / 1000, **more) for rate in rates
    ]


def made(
    *, noise: float = 0.02, agent: float = 0.9, sdk: float = 0.5, archetype: str = "work", rate: int = FAST
) -> list[Cell]:
    """A program in four variants, as much slower as is said; against itself it differs by the noise, at most."""
    base = (1000, 1010, 990)
    variants = {
        UNTOUCHED: rounds(base),
        AGAIN: rounds([base[0] * (1 + noise), base[1] * (1 - noise / 2), base[2]]),
        AGENT: rounds([agent * one for one in base], cpu=1.1, tool=0.3, spans=2000, expected_spans=2000),
        SDK: rounds([sdk * one for one in base], cpu=2.0, spans=1500, expected_spans=2000),
    }
    return [Cell("Node", archetype, name, 8, rate, found) for name, found in variants.items()]


def group_of(cells: list[Cell]) -> Group:
    [found] = groups(Report(cells=cells))
    return found


def test_a_ratio_is_the_median_of_the_rounds_with_its_spread() -> None:
    group = group_of(made())
    assert difference(group, AGENT, throughput) == "0.90 (0.90 to 0.90)"
    assert difference(group, AGAIN, throughput) == "1.00 (0.99 to 1.02)"
    assert difference(group, PTRACE, throughput) == ""


def test_rounds_are_compared_with_those_of_the_same_turn() -> None:
    """A machine that becomes half as fast on the way is no difference between the variants."""
    slowing = (1000, 500, 250)
    cells = [Cell("C", "work", UNTOUCHED, 8, FAST, rounds(slowing))]
    cells += [Cell("C", "work", AGAIN, 8, FAST, rounds(slowing))]
    cells += [Cell("C", "work", AGENT, 8, FAST, rounds([0.8 * one for one in slowing]))]
    assert difference(group_of(cells), AGENT, throughput) == "0.80 (0.80 to 0.80)"


@pytest.mark.parametrize(("noise", "seen"), [(0.05, True), (0.15, False)])
def test_a_difference_smaller_than_the_noise_is_none(noise: float, seen: bool) -> None:
    group = group_of(made(noise=noise, agent=0.9))
    assert (difference(group, AGENT, throughput) != UNSEEN) == seen
    assert difference(group, SDK, throughput).startswith("0.50")
    assert (UNSEEN in "\n".join(overview(Report(cells=made(noise=noise)), KINDS[0]))) == (not seen)


def processes_of(variant: str, *paces: float, connections: int = 8) -> list[Cell]:
    """One for each pace, by which it is faster than the machine, which becomes slower from round to round."""
    machine = (1000, 500, 250)
    return [Cell("Node", "work", variant, connections, FAST, rounds([pace * one for one in machine])) for pace in paces]


def test_the_agent_in_parts_of_several_processes() -> None:
    """Each to the mean of the untouched ones in the same round, which differ among themselves as well."""
    made_of = [*processes_of(UNTOUCHED, 0.9, 1.0, 1.1), *processes_of(AGENT, 0.8, 0.9, 1.0)]
    made_of += [*processes_of(UNASKED, 0.9, 1.0, 0.95), *processes_of(UNTOUCHED, 2.0, connections=1)]
    lines = list(parts(Report(parts=made_of)))
    assert len(lines) == 2 + 2 + 2 + 1
    row = [text.strip() for text in lines[2].strip("|").split("|")]
    assert row[:4] == ["Node", "8", "throughput", "1.00 (0.90 to 1.10)"]
    assert row[4:] == ["", "0.95 (0.90 to 1.00)", "0.90 (0.80 to 1.00)", "0.95 (0.84 to 1.05)"]
    assert lines[4].startswith("| Node | 1 | median latency | 1.00 (1.00 to 1.00) |")


def test_samples_are_counted_by_library_and_function() -> None:
    report = """
 30\tlibpython3.11.so \t[.] PyEval
 7\t[JIT] tid 99\t[.] 0x00007f1e
 5\t[JIT] tid 99\t[.] 0x00007f2e
 2\t[kernel.kallsyms]\t[k] tcp_ack
# a comment
"""
    found = samples(report)
    assert found == {
        ("libpython3.11.so", "PyEval"): 30,
        (COMPILED, COMPILED): 12,
        ("kernel", "tcp_ack"): 2,
    }


def test_a_difference_tells_the_largest_first() -> None:
    asked = {("python", "PyEval"): 50.0, ("agent", "enter"): 3.0, ("kernel", "tcp_ack"): 4.0}
    unasked = {("python", "PyEval"): 40.0, ("kernel", "tcp_ack"): 5.0}
    lines = [" ".join(line.split()) for line in told(asked, unasked).splitlines() if line]
    assert lines[1] == "57.0 45.0 +12.0 all"
    assert lines[2:5] == ["50.0 40.0 +10.0 python", "3.0 0.0 +3.0 agent", "4.0 5.0 -1.0 kernel"]
    assert lines[5] == "50.0 40.0 +10.0 PyEval, python"


def test_without_its_own_noise_no_difference_is_seen() -> None:
    cells = [cell for cell in made() if cell.variant != AGAIN]
    assert difference(group_of(cells), AGENT, throughput) == UNSEEN


def test_cpu_time_of_both_is_for_1000_requests() -> None:
    group = group_of(made())
    assert median(group.cells[AGENT], cpu_all) == pytest.approx(1.4)
    assert "1.400 s, 1.40 (1.40 to 1.40)" in "\n".join(details(group))


def test_lost_spans_are_counted_by_round() -> None:
    """What comes of a round's last, unfinished requests doesn't hide what another round has lost."""
    cell = Cell("C", "work", AGENT, 8, FAST, rounds([1000, 1000], expected_spans=2000, spans=2016))
    cell.rounds[1].spans = 1990
    assert lost(cell) == (10, 4000)
    assert "10 of 4000 spans did not come" in "\n".join(wrongs(Report(cells=[cell])))


def test_the_sentence_tells_the_worst_and_the_own_sdk() -> None:
    text = sentence(Report(cells=made() + made(archetype="mixed", rate=STEADY, agent=1.0, sdk=0.7)))
    assert "keeps of its untouched throughput 90% (the median of 1; the worst, Node, 90%)" in text
    assert "with its own SDK 50% (" in text
    assert "no difference in median latency is seen in 1 of 1 programs" in text
    assert "rbinder's own processes included, is, of the untouched program's, 140% (" in text
    assert "with its own SDK 0 of 1 programs, and 200% (" in text


def test_the_sentence_says_where_it_is_noise() -> None:
    text = sentence(Report(cells=made(noise=0.2)))
    assert "throughput 90% (the median of 1; the worst, Node, 90%; no difference is seen in 1)" in text


def test_the_sentence_of_nothing() -> None:
    assert sentence(Report()).startswith("Nothing was measured")


@pytest.mark.parametrize(("agent", "sdk", "told"), [(0.9, 0.5, "better"), (0.5, 0.9, "worse"), (0.7, 0.7, "")])
def test_losses_are_told_as_wins_are(agent: float, sdk: float, told: str) -> None:
    report = Report(cells=made(agent=agent, sdk=sdk))
    lines = document.page(report, {}).splitlines()
    first = lines.index("- throughput, 1 comparisons; no difference seen in 0.")  # against the untouched program
    assert lines[first + 1].startswith("  - worse in 1: Node, trivial, as fast as it goes: ")
    against = lines.index("### `agent` against its own SDK")
    assert lines[against + 2] == f"- throughput, 1 comparisons; no difference seen in {int(not told)}."
    ratio = f"{agent / sdk:.2f}"
    expected = f"  - {told} in 1: Node, trivial, as fast as it goes: {ratio} ({ratio} to {ratio})."
    assert (lines[against + 3] == expected) == bool(told)


def test_less_latency_is_better() -> None:
    report = Report(cells=made(archetype="io", rate=STEADY, agent=0.5))
    assert {one.kind.name: one.better for one in verdicts(report, AGENT, UNTOUCHED)} == {
        "median latency": -1, "99th percentile of latency": -1, "CPU time of program and tool": -1,
    }  # fmt: skip


def test_links_memory_and_start_are_told_of_all_that_trace() -> None:
    cells = made(archetype="io", rate=STEADY)
    for cell, linked in ((cells[2], 50), (cells[3], 100)):
        for one in cell.rounds:
            one.calls, one.linked = 100, linked
    sizes = {UNTOUCHED: 100, AGAIN: 110, AGENT: 150, SDK: 105}
    prints = [Footprint("Node", name, size * 2**20, 0, [size / 100]) for name, size in sizes.items()]
    report = Report(cells=cells, footprints=prints)
    text = document.page(report, {})
    assert "- `agent` links all calls in 0 of 1 programs; less in Node 50.0%." in text
    assert "- `its own SDK` links all calls in 1 of 1 programs." in text
    assert "`agent` beyond the untouched program: Node +50 MiB." in text
    assert "- seconds until the first answer, `agent` beyond the untouched program: Node +0.50 s." in text
    assert f"- memory of program and tool together, `its own SDK` beyond the untouched program: Node {UNSEEN}." in text
    assert "in 0 of 1 programs; with its own SDK in 1 of 1 programs." in sentence(report)


def test_what_went_wrong_is_told() -> None:
    cells = made(rate=2000, archetype="io")
    cells[2].rounds[0].errors = 3
    for one in cells[2].rounds:
        one.calls, one.linked, one.wrong = 100, 98, 1
    text = "\n".join(wrongs(Report(cells=cells, missing={"C, its own SDK": "there is none"})))
    assert "C, its own SDK: not measured: there is none" in text
    assert "Node, agent, I/O-bound, 2000 requests/s: 3 of 2703 requests failed" in text
    assert "the rate was not kept, 900 requests/s were answered" in text
    assert "3 of 300 calls carried the trace of another request" in text
    assert "3 of 300 calls did not carry the trace of the request that they were made for" in text


def test_the_three_largest_costs_come_with_their_profiles() -> None:
    cells = [*made(), Cell("Node", "work", PTRACE, 8, FAST, rounds([100, 100, 100], cpu=3.0, tool=5.0))]
    names = [f"{variant}, {whose}, Node" for variant in (AGENT, PTRACE) for whose in ("program", "tool")]
    found = costs(Report(cells=cells, profiles={name: f"profile of {name}" for name in names}))
    assert [round(cost.seconds, 3) for cost in found] == [5.0, 2.0, 0.3]
    assert [cost.profile for cost in found] == [f"profile of {names[index]}" for index in (3, 2, 1)]


def test_a_later_start_that_is_noise_is_no_difference() -> None:
    starts = {UNTOUCHED: [1.0, 1.1], AGAIN: [1.1, 1.0], AGENT: [1.05, 1.15], SDK: [2.0, 2.2], PTRACE: [3.0]}
    lines = list(footprints(Report(footprints=[Footprint("C", name, 2**20, 0, each) for name, each in starts.items()])))
    assert lines[4].endswith(f"| 1.10 s | {UNSEEN} |")
    assert lines[5].endswith("| 2.10 s | +1.05 s (+1.00 to +1.10) |")
    assert lines[6].endswith("| 3.00 s |  |")


def test_only_all_of_it_is_all() -> None:
    assert share(9999, 10_000) == "99.9 %"
    assert share(10_000, 10_000) == "100.0 %"
    assert share(0, 0) == "–"


def test_a_table_of_nothing_is_nothing() -> None:
    assert list(table(["a"], [])) == []


def test_the_document_has_everything(tmp_path: Path) -> None:
    report = Report(
        {"CPU": "made up", "date": "today"}, {"rbinder": "0"}, made(), [Footprint("Node", UNTOUCHED, 2**20, 0, [1.0])],
        {"strace": 2**20}, {"C, ptrace": "it may not"}, {"agent, tool, Node": "a profile"}, ["7 stops"],
        [*processes_of(UNTOUCHED, 1.0), *processes_of(AGENT, 0.9)], {"Node": "+3.0 enter"}, quick=True,
    )  # fmt: skip
    report.save(tmp_path / "figures.json")
    assert Report.load(tmp_path / "figures.json") == report
    text = document.write(report, tmp_path, {"A picture": "benchmarks/a.svg"}).read_text()
    for part in ("made up", "A quick run", "![A picture](benchmarks/a.svg)", "## Throughput", "a profile", "7 stops",
                 "C, ptrace: not measured: it may not", "| strace | 1.0 |", "### Node", "+3.0 enter"):  # fmt: skip
        assert part in text


def test_two_runs_agree_where_their_spreads_overlap() -> None:
    old, new = Report(cells=made(agent=0.9)), Report(cells=made(agent=0.9))
    assert list(compare.compare(old, new)) == ["4 ratios agree within their spreads, 0 are better, 0 are worse"]


@pytest.mark.parametrize(("was", "now", "word"), [(0.9, 0.8, "worse"), (0.8, 0.9, "better")])
def test_a_change_is_told(was: float, now: float, word: str) -> None:
    lines = list(compare.compare(Report(cells=made(agent=was)), Report(cells=made(agent=now))))
    before, after = (f"{ratio:.2f} ({ratio:.2f} to {ratio:.2f})" for ratio in (was, now))
    assert lines[0] == f"{word}: Node, agent, work, as fast as it goes, throughput: {before}, then {after}"
    assert lines[-1].startswith("3 ratios agree within their spreads, ")
    assert f" 1 are {word}" in lines[-1]


def test_what_one_run_alone_has_is_told() -> None:
    lines = list(compare.compare(Report(cells=made()), Report(cells=made()[:3])))
    assert "only in the first: Node, its own SDK, work, as fast as it goes, throughput" in lines


def test_changed_counts_are_told() -> None:
    new = Report(cells=made())
    new.cells[2].rounds[0].spans -= 5
    new.cells[2].rounds[0].wrong = 1
    lines = list(compare.compare(Report(cells=made()), new))
    assert "spans lost: Node, agent, trivial, as fast as it goes: 0 of 6000, then 5 of 6000" in lines
    assert "wrong links: Node, agent, trivial, as fast as it goes: 0, then 1" in lines


@pytest.fixture
def row() -> Callable[..., list[str]]:
    """A line of vegeta's results, a request every 10 ms."""

    def make(number: int, trace: str, status: int = 200) -> list[str]:
        body = f'{{"id": "{number}", "traceparent": "{trace}"}}'.encode()
        sent, latency = 10**9 + number * 10**7, (number + 1) * 10**6
        return [str(sent), str(status), str(latency), "0", "0", "", base64.b64encode(body).decode(), "", str(number)]

    return make


def test_links_are_judged_by_the_traces_that_were_sent(row: Callable[..., list[str]]) -> None:
    traces = [f"{number:032x}" for number in range(1, 5)]
    told = [f"00-{trace}-{1:016x}-01" for trace in (traces[0], traces[0], f"{99:032x}")]
    load = judged([row(0, told[0]), row(1, told[1]), row(2, told[2]), row(3, ""), row(3, "", 500)], traces)
    assert (load.requests, load.errors, load.calls, load.linked, load.wrong) == (4, 1, 4, 1, 1)
    assert load.p50 == 0.002
    assert load.seconds == pytest.approx(0.034)


def test_a_program_that_answers_nothing_is_a_failure(row: Callable[..., list[str]]) -> None:
    with pytest.raises(Failure, match="no request was answered: 500"):
        judged([row(0, "", 500)], ["1"])


def test_a_profile_leaves_lines_out_and_adds_up() -> None:
    lines = summary("main (a.py:1);work (a.py:5) 3\nmain (a.py:2);work (a.py:6);read (b.py:9) 1").splitlines()
    assert lines[1:] == ["  75.0%  100.0%  work (a.py)", "  25.0%   25.0%  read (b.py)"]
