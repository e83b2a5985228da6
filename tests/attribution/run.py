"""`make attribution`: every row with both engines, 20,000 requests each, and docs/attribution.md of it.

Usage: run.py [--requests N] [--ptrace-requests N] [--engine NAME]... [--row TEXT]... [--connections N] [--disconnect]
              [--resume] [--minutes N] [--out FILE]

That takes hours. What a row has come to is kept as it goes (outcomes.py), and --resume takes from there what was
measured with the same rbinder; with --minutes the page can be made in pieces, and names what is missing yet.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import ROOT

from attribution.catalogue import full
from attribution.measure import DidNotStart, measure
from attribution.outcomes import Kept, Outcome
from attribution.page import page
from attribution.rows import Row
from attribution.traffic import CONNECTIONS

MANY = 1000  # connections, of rows under stress


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--requests", type=int, default=20_000)
    words.add_argument("--ptrace-requests", type=int, metavar="N", help="of rows with that engine, if not as many")
    words.add_argument("--engine", action="append", choices=("agent", "ptrace"))
    words.add_argument("--row", action="append", help="rows whose name contains this")
    words.add_argument("--out", type=Path, help="default: docs/attribution.md, if all rows are measured")
    words.add_argument("--connections", type=int, default=CONNECTIONS)
    words.add_argument("--disconnect", action="store_true", help="one request in ten is given up before its answer")
    words.add_argument("--resume", action="store_true", help="measure what hasn't been yet")
    words.add_argument("--minutes", type=float, default=math.inf, help="begin no other row after so many")
    given = words.parse_args()
    _allow_descriptors()
    directory = ROOT / "build" / "attribution"
    kept = Kept(directory / "outcomes.json")
    rows = [row for row in full(directory) if not given.row or any(name in row.name for name in given.row)]
    outcomes = []
    end = time.monotonic() + 60 * given.minutes
    for wanted in _wanted(rows, given.engine or ("agent", "ptrace"), given):
        outcome = kept.find(wanted) if given.resume else None
        if outcome is None:
            outcome = _measured(wanted) if time.monotonic() < end else replace(wanted, why="there was no time for it")
        kept.add(outcome)
        outcomes.append(outcome)
    text = page(outcomes, _machine(), given.connections)
    out = given.out or (None if given.row or given.engine else ROOT / "docs" / "attribution.md")
    if out is not None:
        out.parent.mkdir(exist_ok=True)
        out.write_text(text)
    else:
        print(text)
    return int(any(outcome.verdicts is not None and outcome.verdicts.wrongs for outcome in outcomes))


def _wanted(rows: Sequence[Row], engines: Sequence[str], given: argparse.Namespace) -> list[Outcome]:
    """All rows the usual way, and some under stress."""
    usual = (given.connections, given.disconnect)
    ways = [(usual, rows)]
    if usual == (CONNECTIONS, False):
        ways += [(way, [row for row in rows if row.stressed]) for way in ((MANY, False), (CONNECTIONS, True))]
    count = {"agent": given.requests, "ptrace": given.ptrace_requests or given.requests}
    return [Outcome(row, engine, count[engine], *way) for way, those in ways for engine in engines for row in those]


def _allow_descriptors() -> None:
    """Both ends of all connections are here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _measured(wanted: Outcome) -> Outcome:
    began = time.monotonic()
    row, engine = wanted.row, wanted.engine
    try:
        found = measure(row, engine, wanted.requests, connections=wanted.connections, disconnect=wanted.disconnect)
        outcome = replace(wanted, verdicts=found)
        counts = " ".join(f"{name} {found.total(name)}" for name in ("right", "wrong", "unbound"))
    except (DidNotStart, OSError, subprocess.SubprocessError) as error:
        counts = f"it could not be run: {str(error).strip().splitlines()[-1:]}"
        outcome = replace(wanted, why=counts)
    way = f"{wanted.connections} connections{', disconnects' if wanted.disconnect else ''}"
    print(f"{engine:7} {row.name:32} {way} {counts} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    return outcome


def _machine() -> str:
    where = f"{os.cpu_count()} CPUs ({platform.machine()}), Linux {platform.release()}"
    return f"Measured on {where}, {time.strftime('%Y-%m-%d')}."


if __name__ == "__main__":
    raise SystemExit(main())
