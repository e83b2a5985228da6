"""Measures rbinder against the same programs untouched, instrumented by their own SDK, and under strace.

`make bench` runs it, in about fifty minutes, and writes docs/benchmarks.md with its pictures and the figures as JSON.
`make bench QUICK=1` takes under five minutes, and like a run of some programs alone (ARGS="Node C") it writes into
build/bench instead: such figures are for a first look. `ARGS="--render FILE"` makes the document of figures anew.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import instructions
import machine
import plots
import report as document
import stops
from apps import BUILT, NAMES, App, available, build_back
from ecosystems import BuildFailed
from loads import Generators
from measure import FULL, QUICK, Bench
from model import Report
from parts import Parts
from programs import ROOT, Failure, Programs, free_port

PROFILED = ("Node", "Java", "C", "Flask")  # the first that is there: neither the fastest nor the slowest


def counted(programs: Programs, apps: list[App], back: int, directory: Path) -> list[str]:
    """What is the same in every run: stops for a request, and instructions."""
    lines = ["Stops of the engine ptrace for one request that is passed on:", "", *stops.measure(programs, apps, back)]
    return [*lines, "", "Instructions that the agent adds to a call:", "", *instructions.measure(directory)]


def measure(wanted: list[str], directory: Path, *, quick: bool, kept: Path) -> Report:
    """Everything. The figures are kept after each program, whatever happens then. Raises Failure, BuildFailed."""
    report = Report(quick=quick)
    generators = Generators(ROOT / "build" / "bench")
    failed: dict[str, str] = {}
    apps = available(BUILT, wanted, failed)
    report.missing |= {f"{name}, all variants": why for name, why in failed.items()}
    if not apps:
        raise Failure("none of the programs can be had here: " + "; ".join(failed.values()))
    report.machine = machine.machine()
    report.versions = machine.versions(BUILT) | generators.versions()
    report.sizes = machine.sizes(BUILT)
    profiled = next((name for name in PROFILED if any(app.name == name for app in apps)), apps[0].name)
    bench, parts = Bench(directory, QUICK if quick else FULL, report, generators), Parts(directory, generators, report)
    with Programs(directory) as programs:
        back = free_port()
        programs.start([build_back(BUILT), str(back)], back)
        for app in apps:
            began = time.monotonic()
            bench.measure(app, back, profiled=app.name == profiled)
            if not quick:
                parts.measure(app, back)
            print(f"{app.name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
            report.save(kept)
        if not quick:
            report.counted = counted(programs, apps, back, directory)
    report.save(kept)
    return report


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="*", default=[], help=f"of {', '.join(NAMES)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, fewer kinds of load")
    parser.add_argument("--render", type=Path, metavar="FILE", help="measure nothing: the document of these figures")
    asked = parser.parse_args()
    wanted = [name for word in asked.programs for name in NAMES if name.lower().replace(" ", "") == word.lower()]
    if len(wanted) != len(asked.programs):
        parser.error(f"programs are {', '.join(name.replace(' ', '') for name in NAMES)}")
    began, whole = time.monotonic(), not asked.quick and not wanted
    target = ROOT / ("docs" if whole else "build/bench")
    pictures = target / "benchmarks"
    pictures.mkdir(parents=True, exist_ok=True)
    try:
        if asked.render:
            report = Report.load(asked.render)
        else:
            with tempfile.TemporaryDirectory(prefix="rbinder-bench-") as name:
                kept = pictures / "benchmarks.json"
                report = measure(wanted or list(NAMES), Path(name), quick=asked.quick, kept=kept)
        page = document.write(report, target, plots.draw(report, pictures))
    except (Failure, BuildFailed, OSError, ValueError, TypeError, subprocess.SubprocessError) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    print(document.sentence(report))
    took = f"{time.monotonic() - began:.0f} s"
    print(f"\n{took}; {page.relative_to(ROOT)} has the figures, {pictures.relative_to(ROOT)} pictures and JSON")
    return 0


if __name__ == "__main__":
    sys.exit(main())
