"""Measures programs: each in all its variants side by side, which are asked in turn, in a random order every round."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from apps import App
from figures import total
from fronts import PATIENCE, Front, start
from loads import Generators
from model import AGENT, PTRACE, STRACE, UNTOUCHED, VARIANTS, Cell, Footprint, Report
from profiles import profile
from programs import Failure, Programs
from receiver import Receiver
from stretches import CONNECTIONS, Stretches

T = TypeVar("T")
USED_TO = 0.2  # of the time that a program takes to be warm, for each kind of load before it is measured
SHARE, FASTEST = 0.25, 1000  # a fixed rate: so much of what the untouched program can do, and requests a second at most


@dataclass(frozen=True, slots=True)
class Stress:
    """A kind of load: a path, at a fixed rate or as fast as it goes. `strace` isn't measured under all."""

    archetype: str
    fixed: bool
    strace: bool = False
    connections: int = CONNECTIONS


@dataclass(frozen=True, slots=True)
class Plan:
    """How long everything is measured. `seconds` of load a round and variant; `starts` of a program in each variant."""

    rounds: int
    seconds: float
    starts: int
    warmup: float  # of the time that a program takes to be warm, once for each variant
    profile: int  # seconds
    loads: tuple[Stress, ...]


FULL = Plan(
    rounds=7,
    seconds=0.5,
    starts=3,
    warmup=1.0,
    profile=3,
    loads=(
        Stress("hello", fixed=False),
        Stress("work", fixed=False, strace=True),
        Stress("work", fixed=False, connections=1),
        Stress("cpu", fixed=False),
        Stress("work", fixed=True, strace=True),
        Stress("io", fixed=True),
        Stress("mixed", fixed=True),
    ),
)
QUICK = Plan(
    rounds=3,
    seconds=0.25,
    starts=1,
    warmup=0.1,
    profile=1,
    loads=(Stress("work", fixed=False, strace=True), Stress("mixed", fixed=True)),
)


class Bench:
    """Measures one program after the other, and puts what it finds into a report."""

    def __init__(self, directory: Path, plan: Plan, report: Report, generators: Generators) -> None:
        self._directory, self._plan, self._report, self._generators = directory, plan, report, generators

    def measure(self, app: App, back: int, *, profiled: bool) -> None:
        """All of one program. What can't be measured goes into the report's list of what is missing."""
        self._footprints: dict[str, Footprint] = {}
        with Programs(self._directory) as programs:
            receiver = Receiver()
            programs.callback(receiver.close)
            fronts = self._start(programs, app, back, receiver)
            stretches = Stretches(self._generators, receiver, self._plan.seconds)
            for front in list(fronts.values()):
                archetype = "work" if "work" in app.archetypes else app.archetypes[0]
                self._accustom(fronts, front, archetype, stretches)
            for stress in self._plan.loads:
                if UNTOUCHED in fronts and stress.archetype in app.archetypes:
                    self._stress(fronts, stress, stretches)
            for front in fronts.values():
                footprint = self._footprints[front.variant]
                footprint.memory_program, footprint.memory_tool = front.memory
            if profiled:
                self._profile(fronts)
        if UNTOUCHED in fronts:
            self._report.footprints.extend(self._footprints[name] for name in fronts)

    def _start(self, programs: Programs, app: App, back: int, receiver: Receiver) -> dict[str, Front]:
        """Every variant, in turns; the last of its starts goes on running."""
        fronts: dict[str, Front] = {}
        absent: set[str] = set()
        for turn in range(self._plan.starts):
            for variant in random.sample(VARIANTS, len(VARIANTS)):
                last = turn == self._plan.starts - 1
                if variant in absent or (variant == STRACE and not last):
                    continue
                try:
                    front = start(programs, app, variant, back, receiver)
                except (Failure, OSError) as failure:
                    absent.add(variant)
                    self._miss(app, variant, failure)
                    continue
                footprint = self._footprints.setdefault(variant, Footprint(app.name, variant, 0, 0))
                footprint.starts.append(front.started)
                if last:
                    fronts[variant] = front
                else:
                    front.program.stop(PATIENCE)
        return {variant: fronts[variant] for variant in VARIANTS if variant in fronts}

    def _accustom(
        self, fronts: dict[str, Front], front: Front, archetype: str, stretches: Stretches, part: float = 1.0
    ) -> None:
        seconds = front.app.warms * self._plan.warmup * part
        self._try(fronts, front, partial(stretches.accustom, front, archetype, seconds))

    def _stress(self, fronts: dict[str, Front], stress: Stress, stretches: Stretches) -> None:
        """All rounds under one kind of load."""
        asked = {name: front for name, front in fronts.items() if stress.strace or name != STRACE}
        app, rate = fronts[UNTOUCHED].app, self._rate(fronts[UNTOUCHED], stress.archetype) if stress.fixed else 0
        cells = {name: Cell(app.name, stress.archetype, name, stress.connections, rate) for name in asked}
        how = f"{rate}/s" if rate else f"as fast as it goes, {stress.connections} connections"
        print(f"{app.name}, {stress.archetype}, {how}", file=sys.stderr)
        for front in list(asked.values()):
            if front.variant in fronts:
                self._accustom(fronts, front, stress.archetype, stretches, USED_TO)
        for _ in range(self._plan.rounds):
            for name in random.sample(list(asked), len(asked)):
                if name in fronts:
                    ask = partial(stretches.measure, fronts[name], cells[name])
                    found = self._try(fronts, fronts[name], ask)
                    if found is not None:
                        cells[name].rounds.append(found)
        for name, cell in cells.items():
            if total(cell, "expected_spans") and not total(cell, "spans") and name in fronts:
                self._miss(app, name, Failure(f"it answers, but no span of it comes ({stress.archetype})"))
                del fronts[name]
        if UNTOUCHED in fronts:
            self._report.cells.extend(cell for name, cell in cells.items() if name in fronts)

    def _rate(self, front: Front, archetype: str) -> int:
        """A fixed rate that the untouched program bears with ease, coarse enough for two runs to have the same."""
        load = self._generators.saturate(front.port, f"/{archetype}", CONNECTIONS, self._plan.seconds)
        return even(min(load.requests / load.seconds * SHARE, FASTEST))

    def _profile(self, fronts: dict[str, Front]) -> None:
        """Where the time goes, of the program and of the tool, under either engine."""
        for variant in (AGENT, PTRACE):
            if variant in fronts:
                front = fronts[variant]
                front.look()
                load = partial(self._generators.saturate, front.port, "/work", CONNECTIONS)
                for whose, text in profile(front, self._directory, self._plan.profile, load):
                    self._report.profiles[f"{variant}, {whose}, {front.app.name}"] = text

    def _try(self, fronts: dict[str, Front], front: Front, do: Callable[[], T]) -> T | None:
        """What fails once is left out from then on."""
        try:
            return do()
        except (Failure, OSError) as failure:
            del fronts[front.variant]
            self._miss(front.app, front.variant, failure)
            return None

    def _miss(self, app: App, variant: str, why: Exception) -> None:
        self._report.missing[f"{app.name}, {variant}"] = str(why)
        print(f"{app.name}, {variant}: {why}", file=sys.stderr)


def even(rate: float) -> int:
    """The largest number of the digits 1, 2 or 5 and noughts that isn't above it; 1 at least."""
    return max((digit * 10**power for power in range(7) for digit in (1, 2, 5) if digit * 10**power <= rate), default=1)
