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
    """A front: its name, its command with {port} and {back} in it, and whose instrumentation would be its peer's."""

    name: str
    front: tuple[str, ...]
    peer: str = ""

    def command(self, port: int, back: int) -> list[str]:
        """The front's command."""
        return [word.format(port=port, back=back) for word in self.front]


def available(directory: Path) -> list[Pair]:
    """C and Python always, Node and Java where they are installed."""
    gunicorn = ("-m", "gunicorn", "--chdir", str(TARGETS), "-k", "gthread", "--threads", "8", "-b", "127.0.0.1:{port}")
    pairs = [
        Pair("C", (build(TARGETS / "front.c", directory), "{port}", "{back}")),
        Pair("Python", (sys.executable, *gunicorn, "-e", "BACK_PORT={back}", "front_flask:app"), "python"),
    ]
    node = shutil.which("node")
    if node is not None:
        pairs.append(Pair("Node", (node, str(TARGETS / "front.js"), "{port}", "{back}"), "node"))
    if shutil.which("javac") is not None:
        subprocess.run(["javac", "-d", str(directory), str(TARGETS / "Front.java")], check=True, timeout=4 * DEADLINE)
        pairs.append(
            Pair(
                "Java",
                ("java", "-Dsun.net.httpserver.nodelay=true", "-cp", str(directory), "Front", "{port}", "{back}"),
                "java",
            )
        )
    return pairs
