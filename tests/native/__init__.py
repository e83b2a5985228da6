"""Builds small C drivers around the agent's sources for the tests."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[1] / "rbinder" / "agent" / "src"
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
WARNINGS = ("-std=gnu11", "-Wall", "-Wextra", "-Werror")


def build(sources: Sequence[str], out: Path, flags: Sequence[str] = SANITIZED, compiler: str = "gcc") -> Path:
    """An executable (or what `flags` ask for) of these files, looked for here and among the agent's sources."""
    paths = [HERE / name if (HERE / name).exists() else SOURCES / name for name in sources]
    command = [compiler, *WARNINGS, *flags, f"-I{SOURCES}", f"-I{HERE}", "-o", out, *paths, "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out
