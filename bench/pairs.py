"""The pairs that are measured: a front of each kind, and always the C back, which is never traced."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from programs import DEADLINE, TARGETS, build


@dataclass(frozen=True, slots=True)
class Pair:
    """A front: its name, its command with PORT and BACK in it, and whose instrumentation would be its peer's."""

    name: str
    front: tuple[str, ...]
    peer: str = ""

    def command(self, port: int, back: int) -> list[str]:
        """The front's command."""
        return [word.replace("PORT", str(port)).replace("BACK", str(back)) for word in self.front]


def available(directory: Path) -> list[Pair]:
    """C and Python always, Node and Java where they are installed."""
    gunicorn = ("-m", "gunicorn", "--chdir", str(TARGETS), "-k", "gthread", "--threads", "8", "-b", "127.0.0.1:PORT")
    pairs = [
        Pair("C", (build(TARGETS / "front.c", directory), "PORT", "BACK")),
        Pair("Python", (sys.executable, *gunicorn, "-e", "BACK_PORT=BACK", "front_flask:app"), "python"),
    ]
    node = shutil.which("node")
    if node is not None:
        pairs.append(Pair("Node", (node, str(TARGETS / "front.js"), "PORT", "BACK"), "node"))
    if shutil.which("javac") is not None:
        subprocess.run(["javac", "-d", str(directory), str(TARGETS / "Front.java")], check=True, timeout=4 * DEADLINE)
        pairs.append(Pair("Java", ("java", "-cp", str(directory), "Front", "PORT", "BACK"), "java"))
    return pairs
