"""Fixtures that build the target programs and make up trace contexts."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import TARGETS
from replays import Play, run_both

Build = Callable[..., Path]


def _commands(name: str, out: Path, compiler: str, engine: str) -> list[str]:
    """The command that builds one of the targets that have to be built; C is static where that can be traced."""
    if name.endswith(".java"):
        return ["javac", "-d", str(out.parent), str(TARGETS / name)]
    if name.endswith(".go"):
        return ["go", "build", "-o", str(out), str(TARGETS / name)]
    if name.endswith(".rs"):
        return ["rustc", "-O", "-o", str(out), str(TARGETS / name)]
    static = ["-static"] if engine == "ptrace" else []
    return [compiler, *static, "-O1", "-Wall", "-Wextra", "-o", str(out), str(TARGETS / name), "-lpthread"]


@pytest.fixture(scope="session")
def build(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds a C, Java, Go or Rust target once and returns the path without suffix (for Java: of the class)."""
    directory = tmp_path_factory.mktemp("built")
    built: set[Path] = set()

    def build_once(name: str, compiler: str = "gcc") -> Path:
        out = directory / compiler / Path(name).stem
        if out not in built:
            out.parent.mkdir(exist_ok=True)
            command = _commands(name, out, compiler, engine)
            if shutil.which(command[0]) is None:
                pytest.skip(f"{command[0]} isn't installed")
            subprocess.run(command, check=True, timeout=300)
            built.add(out)
        return out

    return build_once


@pytest.fixture
def trace_id() -> str:
    """A trace id that no other test uses."""
    return secrets.token_hex(16)


@pytest.fixture(scope="session")
def replay(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/targets/replay.c, dynamically linked; with calls that the engine can see."""
    out = tmp_path_factory.mktemp("replay") / "replay"
    source = str(TARGETS / "replay.c")
    flags = ["-O1", "-Wall", "-Wextra", *(["-DBY_LIBRARY"] if engine == "agent" else [])]
    subprocess.run(["gcc", *flags, "-o", str(out), source, "-lpthread"], check=True, timeout=120)
    return out


@pytest.fixture
def play(replay: Path, engine: str, tmp_path: Path) -> Play:
    """Runs a scenario by itself, then under rbinder; returns how it went there, and its connections."""
    return lambda scenario: run_both(scenario, replay, engine, tmp_path)
