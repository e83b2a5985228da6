"""Measures programs: each in all its variants side by side, which are asked in turn, in a random order every round."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from apps import App
from figures import total
from fronts import PATIENCE, Front, start
from loads import Generators, Load
from model import (
    AGENT,
    PARTS,
    PTRACE,
    SDK,
    STRACE,
    UNASKED,
    UNTOUCHED,
    VARIANTS,
    Cell,
    Footprint,
    Report,
    Round,
)
from profiles import profile
from programs import Failure, Programs
from receiver import Receiver

_TRACING = (AGENT, UNASKED, PTRACE, SDK)  # variants that make spans
T = TypeVar("T")
CONNECTIONS = 8
USED_TO = 0.2  # of the time that a program takes to be warm, for each kind of load before it is measured
SHARE, FASTEST = 0.25, 1000  # a fixed rate: so much of what the untouched program can do, and requests a second at most


@dataclass(frozen=True, slots=True)
class Stress:
    """A kind of load: a path, at a fixed rate or as fast as it goes. `more`: variants not measured under all."""

    archetype: str
    fixed: bool
    more: tuple[str, ...] = ()
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
        Stress("work", fixed=False, more=(STRACE, *PARTS)),
        Stress("work", fixed=False, more=PARTS, connections=1),
        Stress("cpu", fixed=False),
        Stress("work", fixed=True, more=(STRACE,)),
        Stress("io", fixed=True),
        Stress("mixed", fixed=True),
    ),
)
QUICK = Plan(
    rounds=3,
    seconds=0.3,
    starts=1,
    warmup=0.2,
    profile=1,
    loads=(Stress("work", fixed=False, more=(STRACE,)), Stress("mixed", fixed=True)),
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
            for front in list(fronts.values()):
                archetype = "work" if "work" in app.archetypes else app.archetypes[0]
                self._try(fronts, front, partial(self._accustom, front, archetype, receiver))
            for stress in self._plan.loads:
                if UNTOUCHED in fronts and stress.archetype in app.archetypes:
                    self._stress(fronts, stress, receiver)
            for front in fronts.values():
                footprint = self._footprints[front.variant]
                footprint.memory_program, footprint.memory_tool = front.memory
            if profiled:
                self._profile(fronts)
        if UNTOUCHED in fronts:
            self._report.footprints.extend(self._footprints[name] for name in fronts if name in VARIANTS)

    def _start(self, programs: Programs, app: App, back: int, receiver: Receiver) -> dict[str, Front]:
        """Every variant, in turns; the last of its starts goes on running."""
        fronts: dict[str, Front] = {}
        absent: set[str] = set()
        more = {name for stress in self._plan.loads for name in stress.more}
        wanted = [*VARIANTS, *(name for name in PARTS if name in more and _fits(app, name))]
        for turn in range(self._plan.starts):
            for variant in random.sample(wanted, len(wanted)):
                last = turn == self._plan.starts - 1
                if variant in absent or (variant in (STRACE, *PARTS) and not last):
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
        return {variant: fronts[variant] for variant in wanted if variant in fronts}

    def _accustom(self, front: Front, archetype: str, receiver: Receiver, part: float = 1.0) -> None:
        """Load that isn't counted, and what its spans cost: over before anything is measured."""
        seconds = front.app.warms * self._plan.warmup * part
        with suppress(Failure):  # a cold program on a busy machine may have no answer yet
            load = self._generators.saturate(front.port, f"/{archetype}", CONNECTIONS, seconds)
            receiver.take(front.sender, expected(front.variant, archetype, load.requests))

    def _stress(self, fronts: dict[str, Front], stress: Stress, receiver: Receiver) -> None:
        """All rounds under one kind of load."""
        asked = {name: front for name, front in fronts.items() if name in stress.more or name not in (STRACE, *PARTS)}
        app, rate = fronts[UNTOUCHED].app, self._rate(fronts[UNTOUCHED], stress.archetype) if stress.fixed else 0
        cells = {name: Cell(app.name, stress.archetype, name, stress.connections, rate) for name in asked}
        how = f"{rate}/s" if rate else f"as fast as it goes, {stress.connections} connections"
        print(f"{app.name}, {stress.archetype}, {how}", file=sys.stderr)
        for front in list(asked.values()):
            if front.variant in fronts:
                self._try(fronts, front, partial(self._accustom, front, stress.archetype, receiver, USED_TO))
        for _ in range(self._plan.rounds):
            for name in random.sample(list(asked), len(asked)):
                if name in fronts:
                    ask = partial(self._round, fronts[name], cells[name], receiver)
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

    def _round(self, front: Front, cell: Cell, receiver: Receiver) -> Round:
        """One stretch; what its spans still cost after it is counted to it, and over before the next."""
        receiver.forget(front.sender)
        front.look()
        before = front.cpu()
        load = self._ask(front, cell)
        front.weigh()
        due = expected(front.variant, cell.archetype, load.requests)
        spans = receiver.take(front.sender, due) if due else 0
        own, tool = (after - earlier for after, earlier in zip(front.cpu(), before, strict=True))
        return Round(load.requests, load.errors, load.seconds, load.p50, load.p99, own, tool,
                     spans, due, load.linked, load.calls, load.wrong)  # fmt: skip

    def _ask(self, front: Front, cell: Cell) -> Load:
        path, seconds = f"/{cell.archetype}", self._plan.seconds
        if cell.rate:
            return self._generators.attack(front.port, path, cell.rate, seconds)
        return self._generators.saturate(front.port, path, cell.connections, seconds)

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


def expected(variant: str, archetype: str, requests: int) -> int:
    """Spans of so many requests: one for each that is served, and where that calls the back, one for the call."""
    return requests * (1 if archetype == "hello" else 2) if variant in _TRACING else 0


def _fits(app: App, part: str) -> bool:
    """Whether the agent has that part there."""
    return not app.why_no_agent and (part != UNASKED or app.asked)


def even(rate: float) -> int:
    """The largest number of the digits 1, 2 or 5 and noughts that isn't above it; 1 at least."""
    return max((digit * 10**power for power in range(7) for digit in (1, 2, 5) if digit * 10**power <= rate), default=1)
