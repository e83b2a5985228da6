"""The document that `make bench` writes: everything that was measured, in one order, whoever looks good in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import findings
import tables
import verdicts
from figures import groups, programs
from model import Report
from verdicts import KINDS

_METHOD = """\
Each program is a front that is asked over HTTP, and for all paths but *hello* asks a back, a small C program that is
never traced, over kept connections. *trivial*: passes the request on. *CPU-bound*: a loop of about a millisecond
before. *I/O-bound*: the back answers after 2 to 10 ms. *mixed*: half the loop, and the waiting. The sources are in
`bench/apps`.

All variants of a program run side by side, and are asked in turn, in a new random order every round, so that whatever
else happens on the machine happens to all of them. *untouched again* is the same program a second time: what it
differs from the first by is noise. *strace* (`-f --seccomp-bpf`, of reads, writes and network calls, to /dev/null) is
what a tool written in C costs that watches from outside. Every request is sampled, and its spans go over OTLP to the
same endpoint, which counts those of kind SERVER and CLIENT; every exporter sends what it has five times a second. Lost
is a span that has not come when none of its program's has come for a second and a half.

*As fast as it goes* is wrk with 8 connections, each waiting for its answer; *one at a time* is the same with one. At a
fixed rate it is vegeta, which sends whether answered or not, with a `traceparent` in each request; the back tells
which one it got. The load generator, the back and the endpoint share the CPUs with the program. CPU time is the
scheduler's count for all processes of the program, or of the tool beside it, until the last span has come, for 1,000
requests; an SDK's is in the program's. Memory is the largest sum of proportional shares (PSS) that was seen after a
round.

A figure is the median of the rounds; a ratio is the median of the ratios to the untouched program in the same round,
with the least and the most in brackets. Where the untouched program differed from itself in any round by as large a
factor as that median is, up or down, the table says "no difference seen"."""


_PARTS = """\
*Nothing sampled* (`OTEL_TRACES_SAMPLER=always_off`): the agent looks at every call and inserts the headers, and no span
is made. *Runtime not asked* (`--no-runtime-hooks`): threads and connections alone tell for whom a call is. The path is
the trivial one, as fast as it goes.

Two processes that do the same differ by more than most of these parts, in where their memory lies and in what was
compiled when. So there are several of each here, side by side, asked in turn in a random order. A figure is the median
process, with the least and the most of them in brackets, each of them the median of its rounds relative to the mean of
the untouched processes in the same round (in the last column, of those that don't ask). What the untouched processes
differ by among themselves is noise, and stands in their own column. The CPUs are kept from sleeping, by processes that
run where nothing else wants to: in a virtual machine it takes tens of microseconds to wake one, and how often that is
done depends on who is how fast, so that it makes more of any difference than there is."""

_ASKING = """\
Where the time goes that a program takes with its runtime asked, and without: by `perf`'s samples in all the processes
of the table above, as fast as it goes. Libraries and functions with the largest differences come first."""


def page(report: Report, pictures: Mapping[str, str]) -> str:
    """The whole document, as Markdown; `pictures` are titles and paths."""
    return "\n".join([*_head(report), *_pictures(pictures), *_overviews(report), *_rest(report)]).rstrip() + "\n"


def sentence(report: Report) -> str:
    """What can be quoted."""
    return verdicts.sentence(report)


def write(report: Report, directory: Path, pictures: Mapping[str, str]) -> Path:
    """Write benchmarks.md there; returns its path. Raises OSError."""
    path = directory / "benchmarks.md"
    path.write_text(page(report, pictures))
    return path


def _head(report: Report) -> Iterator[str]:
    rounds = max((len(cell.rounds) for cell in report.cells), default=0)
    yield from ("# Benchmarks", "", f"> {sentence(report)}", "")
    yield from ("<!-- Written by `make bench`; what is changed here by hand is lost. -->", "")
    if report.quick:
        yield from ("**A quick run, of few and short rounds: for a first look, and not to be quoted.**", "")
    date = report.machine.get("date", "an unknown date")
    yield f"`make bench` wrote this of {rounds} rounds on the machine below, on {date}."
    yield from ("`make bench-compare A=FILE B=FILE` compares two runs by their `benchmarks/benchmarks.json`.", "")
    yield from tables.pairs(("machine", ""), report.machine)
    yield from tables.pairs(("version of", ""), report.versions)
    yield from ("## How it was measured", "", _METHOD, "")


def _pictures(pictures: Mapping[str, str]) -> Iterator[str]:
    if pictures:
        yield from ("## In pictures", "")
    for title, path in pictures.items():
        yield from (f"![{title}]({path})", "")


def _overviews(report: Report) -> Iterator[str]:
    for kind in KINDS:
        lines = list(tables.overview(report, kind))
        if lines:
            better = "more is better" if kind.better > 0 else "less is better"
            unit = ", seconds for 1,000 requests" if kind.name.startswith("CPU") else ""
            yield from (f"## {kind.name[0].upper()}{kind.name[1:]}", "")
            yield from (f"The untouched program's{unit}, and the other variants relative to it; {better}.", "", *lines)


def _parts(report: Report) -> Iterator[str]:
    lines = list(tables.parts(report))
    if lines:
        yield from ("## What the agent's cost is made of", "", _PARTS, "", *lines)
    if report.asking:
        yield from ("### What asking the runtime takes", "", _ASKING, "")
    for program, text in report.asking.items():
        yield from (f"{program}:", "", "```text", text, "```", "")


def _rest(report: Report) -> Iterator[str]:
    yield from _parts(report)
    yield from ("## Where rbinder loses, and where it wins", "", *verdicts.losses_and_wins(report))
    yield from ("## Spans and links", "")
    yield "*calls linked*: those that reached the back with the trace of the request that they were made for, of all"
    yield from ("at a fixed rate. *wrong*: with the trace of another request.", "", *tables.spans(report))
    yield from ("## Memory, start, size", "", *tables.footprints(report))
    yield from ("Added to an image, on disk:", "", *tables.sizes(report))
    yield from _costs(report)
    if report.counted:
        yield from ("## Counted, and the same in every run", "", "```text", *report.counted, "```", "")
    yield from ("## What is missing or went wrong", "")
    yield from [f"- {line}" for line in findings.wrongs(report)] or ["Nothing."]
    yield from ("", "## Program by program", "")
    for program in programs(report):
        yield from (f"### {program}", "")
        for group in groups(report):
            if group.program == program:
                yield from (f"{verdicts.load(group)}:", "", *tables.details(group))


def _costs(report: Report) -> Iterator[str]:
    found = findings.costs(report)
    if found:
        yield from ("## The three largest costs", "")
        yield from ("CPU seconds for 1,000 requests that are passed on as fast as it goes, and where they go.", "")
    for cost in found:
        yield from (f"### {cost.title}: {cost.seconds:.3f} s", "", "```text", cost.profile, "```", "")
