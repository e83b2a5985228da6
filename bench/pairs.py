"""The pairs that are measured: a front of each kind, and always the C back, which is never traced."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from programs import TARGETS, build


@dataclass(frozen=True, slots=True)
class Pair:
    """A front by its name; its command but for the two ports."""

    name: str
    front: tuple[str, ...]

    def command(self, port: int, back: int) -> list[str]:
        """The front's command."""
        return [*self.front, str(port), str(back)]


def available(directory: Path) -> list[Pair]:
    """C and Python always, Node where it is installed."""
    pairs = [
        Pair("C", (build(TARGETS / "front.c", directory),)),
        Pair("Python", (sys.executable, str(TARGETS / "front_requests.py"))),
    ]
    node = shutil.which("node")
    if node is not None:
        pairs.append(Pair("Node", (node, str(TARGETS / "front.js"))))
    return pairs
