"""Starts programs with an agent that only goes along (tests/native/exec_agent.c), and hears of it from each of them."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import DEADLINE

from rbinder.agent.carried import carrying


@dataclass
class Ended:
    """How a command went; `started` are the executables that had the agent in them, in order; `notes` what it said."""

    status: int
    stdout: str
    stderr: str
    started: list[str]
    notes: list[str]

    @property
    def visible(self) -> tuple[int, str, str]:
        return self.status, self.stdout, self.stderr


class Carrier:
    """`library`: the agent's. The keeper is this process: the agents write to a descriptor of its."""

    def __init__(self, library: Path, log: Path) -> None:
        self.library = library
        self._log = log

    def start(self, command: Sequence[str], environment: Mapping[str, str], **how: Any) -> Ended:
        """Run the command with the agent, to its end."""
        with self._log.open("wb") as log:
            names = {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}
            carried = carrying(names, str(self.library), os.getpid(), log.fileno(), secrets.token_bytes(16))
            status, stdout, stderr = run(command, carried, **how)
        words = [line.partition(" ") for line in self._log.read_text().splitlines()]
        started = [text for word, _, text in words if word == "start"]
        return Ended(status, stdout, stderr, started, [text for word, _, text in words if word == "note"])

    def same(self, command: Sequence[str], environment: Mapping[str, str], **how: Any) -> Ended:
        """Run it without and with the agent: what it shows must be the same."""
        untouched = run(command, environment, **how)
        carried = self.start(command, environment, **how)
        assert carried.visible == untouched
        return carried


def run(command: Sequence[str], environment: Mapping[Any, Any], **how: Any) -> tuple[int, str, str]:
    how = {"stdin": subprocess.DEVNULL, "timeout": DEADLINE} | how
    done = subprocess.run(command, env=environment, capture_output=True, **how)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
