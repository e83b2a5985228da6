"""`make attribution`: every row with both engines, 20,000 requests each, and docs/attribution.md of it.

Usage: run.py [--requests N] [--engine NAME]... [--row TEXT]... [--out FILE]
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import ROOT

from attribution.catalogue import full
from attribution.measure import DidNotStart, measure
from attribution.page import Outcome, page
from attribution.rows import Row
from attribution.traffic import CONNECTIONS


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--requests", type=int, default=20_000)
    words.add_argument("--engine", action="append", choices=("agent", "ptrace"))
    words.add_argument("--row", action="append", help="rows whose name contains this")
    words.add_argument("--out", type=Path, help="default: docs/attribution.md, if all rows are measured")
    words.add_argument("--connections", type=int, default=CONNECTIONS)
    words.add_argument("--disconnect", action="store_true", help="one request in ten is given up before its answer")
    given = words.parse_args()
    rows = [
        row for row in full(ROOT / "build" / "attribution") if not given.row or any(n in row.name for n in given.row)
    ]
    outcomes = []
    for engine in given.engine or ("agent", "ptrace"):
        for row in rows:
            outcomes.append(_outcome(row, engine, given.requests, given.connections, given.disconnect))
    text = page(outcomes, _machine(), given.connections)
    out = given.out or (None if given.row or given.engine else ROOT / "docs" / "attribution.md")
    if out is not None:
        out.parent.mkdir(exist_ok=True)
        out.write_text(text)
    else:
        print(text)
    return int(any(outcome.verdicts is not None and outcome.verdicts.wrongs for outcome in outcomes))


def _outcome(row: Row, engine: str, requests: int, connections: int, disconnect: bool) -> Outcome:
    began = time.monotonic()
    try:
        outcome = Outcome(
            row, engine, requests, measure(row, engine, requests, connections=connections, disconnect=disconnect)
        )
    except (DidNotStart, OSError, subprocess.SubprocessError) as error:
        outcome = Outcome(row, engine, requests, None, f"it could not be run: {str(error).strip().splitlines()[-1:]}")
    found = outcome.verdicts
    counts = " ".join(f"{name} {found.total(name)}" for name in ("right", "wrong", "unbound")) if found else outcome.why
    print(f"{engine:7} {row.name:32} {counts} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    return outcome


def _machine() -> str:
    where = f"{os.cpu_count()} CPUs ({platform.machine()}), Linux {platform.release()}"
    return f"Measured on {where}, {time.strftime('%Y-%m-%d')}."


if __name__ == "__main__":
    raise SystemExit(main())
