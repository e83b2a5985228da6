"""What was measured: the plain data between the measuring, the report and the comparison of two reports."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNTOUCHED, AGAIN = "untouched", "untouched again"
AGENT, PTRACE, STRACE, SDK = "agent", "ptrace", "strace", "its own SDK"
VARIANTS = (UNTOUCHED, AGAIN, AGENT, PTRACE, SDK, STRACE)
# The agent in parts: with nothing sampled, so that it only looks and inserts; without asking the runtime.
UNSAMPLED, UNASKED = "agent, nothing sampled", "agent, runtime not asked"
AGENTS = (UNSAMPLED, UNASKED, AGENT)
PARTS = (UNTOUCHED, *AGENTS)
ARCHETYPES = ("hello", "work", "cpu", "io", "mixed")  # paths of the programs


@dataclass(slots=True)
class Round:
    """One stretch of load on one variant. Times in seconds; `spans` that arrived for it, `linked` of its traces."""

    requests: int
    errors: int
    seconds: float
    p50: float
    p99: float
    cpu_program: float  # CPU seconds
    cpu_tool: float
    spans: int = 0
    expected_spans: int = 0
    linked: int = 0  # calls to the back that carried the trace of the request they were made for
    calls: int = 0  # calls to the back that were checked
    wrong: int = 0  # of these, carried the trace of another request


@dataclass(slots=True)
class Cell:
    """A program in one variant under one kind of load. `rate` 0: closed loop, as fast as it goes."""

    program: str
    archetype: str
    variant: str
    connections: int
    rate: int
    rounds: list[Round] = field(default_factory=list)


@dataclass(slots=True)
class Footprint:
    """Of a program in one variant: bytes of memory at most (PSS), and seconds from start to first answer, per round."""

    program: str
    variant: str
    memory_program: int
    memory_tool: int
    starts: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """All of one run."""

    machine: dict[str, str] = field(default_factory=dict)  # CPU, cores, kernel, memory, date (UTC)
    versions: dict[str, str] = field(default_factory=dict)  # of rbinder, runtimes, peers, load generators
    cells: list[Cell] = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)  # bytes added to an image, by variant
    missing: dict[str, str] = field(default_factory=dict)  # "program, variant": why there is no figure
    profiles: dict[str, str] = field(default_factory=dict)  # title: preformatted text
    counted: list[str] = field(default_factory=list)  # lines of exact counts: stops, instructions
    parts: list[Cell] = field(default_factory=list)  # one for each process: several of each of PARTS
    asking: dict[str, str] = field(default_factory=dict)  # program: where asking its runtime takes its time, as text
    quick: bool = False

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Report:
        """Raises OSError, ValueError, TypeError."""
        data: dict[str, Any] = json.loads(path.read_text())
        cells, parts = (_cells(data.pop(name, [])) for name in ("cells", "parts"))
        return cls(cells=cells, parts=parts, footprints=[Footprint(**one) for one in data.pop("footprints")], **data)


def _cells(data: list[dict[str, Any]]) -> list[Cell]:
    return [Cell(**{**cell, "rounds": [Round(**one) for one in cell["rounds"]]}) for cell in data]
