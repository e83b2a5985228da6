"""What the agent's cost is made of.

Two processes that do the same differ by more than most of these parts, in where their memory lies and in what was
compiled when. So there are several of each, side by side, asked in turn, and the CPUs are kept awake (awake.py).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apps import App
from differences import Sampler, told
from fronts import Front, start
from loads import Generators
from model import AGENT, PARTS, UNASKED, Cell, Report
from programs import BENCH, Failure, Programs
from receiver import Receiver
from stretches import CONNECTIONS, Stretches

PROCESSES = 3  # of each variant
ROUNDS = 5
SECONDS = 0.4  # of load, a round and process
SAMPLED = 1.0  # seconds of load, a process
PATH = "work"


@dataclass(frozen=True, slots=True)
class Parts:
    """Measures one program after the other, and puts what it finds into a report."""

    directory: Path
    generators: Generators
    report: Report

    def measure(self, app: App, back: int) -> None:
        """One program. What goes wrong is told in the report's list of what is missing."""
        if app.why_no_agent or not app.several:
            return
        try:
            with Programs(self.directory) as programs:
                receiver = Receiver()
                programs.callback(receiver.close)
                variants = [name for name in PARTS if name != UNASKED or app.asked]
                fronts = _started(programs, app, variants, back, receiver)
                for cpu in sorted(os.sched_getaffinity(0)):
                    programs.start([sys.executable, str(BENCH / "awake.py"), str(cpu)])
                stretches = Stretches(self.generators, receiver, SECONDS)
                for front in fronts:
                    stretches.accustom(front, PATH, app.warms)
                for connections in (CONNECTIONS, 1):
                    self.report.parts.extend(_rounds(stretches, fronts, connections))
                if app.asked:
                    self._compare(app, fronts)
        except (Failure, OSError) as failure:
            self._miss(f"{app.name}, the agent in parts", failure)

    def _compare(self, app: App, fronts: Sequence[Front]) -> None:
        """What asking takes: the table is there without it."""
        try:
            self.report.asking[app.name] = self._difference(fronts)
        except (Failure, OSError, subprocess.SubprocessError) as failure:
            self._miss(f"{app.name}, what asking takes", failure)

    def _miss(self, what: str, why: Exception) -> None:
        self.report.missing[what] = str(why)
        print(f"{what}: {why}", file=sys.stderr)

    def _difference(self, fronts: Sequence[Front]) -> str:
        """Of the program's time with the runtime asked and without."""
        sampler = Sampler(self.directory / "perf.data")
        for front in fronts:
            if front.variant in (AGENT, UNASKED):
                front.look()
                with sampler.sampling(front.variant, front.pids("program")):
                    load = self.generators.saturate(front.port, f"/{PATH}", CONNECTIONS, SAMPLED)
                sampler.count(front.variant, load.requests)
        return told(sampler.taken(AGENT), sampler.taken(UNASKED))


def _started(programs: Programs, app: App, variants: Sequence[str], back: int, receiver: Receiver) -> list[Front]:
    fronts = []
    for _ in range(PROCESSES):
        fronts += [start(programs, app, name, back, receiver) for name in random.sample(variants, len(variants))]
    return fronts


def _rounds(stretches: Stretches, fronts: Sequence[Front], connections: int) -> list[Cell]:
    """A cell for each process."""
    print(f"{fronts[0].app.name}, {len(fronts)} processes, {connections} connections", file=sys.stderr)
    cells = [Cell(front.app.name, PATH, front.variant, connections, 0) for front in fronts]
    for _ in range(ROUNDS):
        for front, cell in random.sample(list(zip(fronts, cells, strict=True)), len(fronts)):
            cell.rounds.append(stretches.measure(front, cell))
    return cells
