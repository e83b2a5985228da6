"""How much later a program runs its first instructions when it is started by rbinder."""

from __future__ import annotations

import random
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from programs import BENCH, DEADLINE, ROOT, build, environment, rbinder

ROUNDS = 15


def started_after(command: Sequence[str]) -> float:
    """Milliseconds from before the command is started until it tells its own time."""
    before = time.monotonic_ns()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT, env=environment({}), timeout=DEADLINE)
    return (int(done.stdout) - before) / 1e6


def measure(directory: Path) -> list[str]:
    """The lines to print."""
    first = build(BENCH / "first.c", directory)
    ways = {"untouched": [first]} | {
        engine: [*rbinder("-x", "none", "-q", "-e", engine), first] for engine in ("agent", "ptrace")
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name in random.sample(list(ways), len(ways)):
            taken[name].append(started_after(ways[name]))
    return [_line(engine, taken[engine], taken["untouched"]) for engine in ("agent", "ptrace")]


def _line(engine: str, taken: list[float], own: list[float]) -> str:
    beyond = [late - early for late, early in zip(taken, own, strict=True)]
    spread = f"({min(beyond):.0f} to {max(beyond):.0f}, {ROUNDS} alternating rounds"
    late = f"{statistics.median(beyond):.0f} ms beyond its own start"
    return f"{engine:<8}{late} {spread}; its own: {statistics.median(own):.1f} ms)"
