"""Starts a command in the way a test needs it, with and without rbinder before it, and compares what comes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import DEADLINE, Rbinder, clean_environment, until

UNSENT = ("-x", "none")  # options for scenarios in which no span matters
UNFILTERED = (*UNSENT, "--no-seccomp")
NOBODY = 65534


def refused(*command: str) -> str:
    """Why the system doesn't let this command do its work here; "" where it does."""
    done = subprocess.run([*command, "true"], capture_output=True, text=True, timeout=DEADLINE)
    return done.stderr.strip() if done.returncode else ""


def below(rbinder: Rbinder, *command: str, options: Sequence[str] = UNSENT) -> list[str]:
    """The command line that runs `command` under rbinder."""
    return [sys.executable, "-m", "rbinder", "-e", rbinder.engine, *options, "--", *command]


@dataclass
class Outcome:
    """`status` as a shell has it (128 + n for signal n); `remarks` are rbinder's own lines, not part of `stderr`."""

    status: int
    stdout: str
    stderr: str
    remarks: list[str]

    @property
    def visible(self) -> tuple[int, str, str]:
        return self.status, self.stdout, self.stderr


def shell_status(returncode: int) -> int:
    return 128 - returncode if returncode < 0 else returncode


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, **how: Any) -> Outcome:
    """Run to the end; `how` is what subprocess.run takes."""
    how = {"stdin": subprocess.DEVNULL, "timeout": DEADLINE} | how
    done = subprocess.run(command, env=dict(environment or clean_environment()), capture_output=True, **how)
    lines = done.stderr.decode(errors="replace").splitlines()
    return Outcome(
        shell_status(done.returncode),
        done.stdout.decode(errors="replace"),
        "\n".join(line for line in lines if not line.startswith("rbinder:")),
        [line for line in lines if line.startswith("rbinder:")],
    )


def same(rbinder: Rbinder, *command: str, options: Sequence[str] = UNSENT, **how: Any) -> Outcome:
    """Run the command without and with rbinder: status and output must be the same. Returns the outcome with it."""
    untouched = run(command, **how)
    traced = run(below(rbinder, *command, options=options), **how)
    assert traced.visible == untouched.visible, f"{untouched} became {traced}"
    return traced


class Conversation:
    """A running program whose output is read line by line while it runs. It is killed at the end of the `with`."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, **how: Any):
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, env=dict(environment or clean_environment()), **how
            )

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=DEADLINE)

    @property
    def lines(self) -> list[str]:
        return self._log.read_text().splitlines()

    def wait_for(self, line: str) -> None:
        until(lambda: line in self.lines, lambda: f"{line!r} in {self.lines}")

    def end(self) -> int:
        """Close its input, and wait for its end."""
        self.process.communicate(timeout=DEADLINE)
        return shell_status(self.process.returncode)


def children(pid: int, thread: str = "") -> list[int]:
    """Of a process's first thread, or another one; none where it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{thread or pid}/children").read_text().split()]
    except OSError:
        return []


def tracer(launcher: int) -> int:
    """rbinder's process that traces: the one of the launcher's children that has children."""
    found: list[int] = until(lambda: [c for c in children(launcher) if children(c)], lambda: f"{launcher} has a tracer")
    return found[0]


def exporter(launcher: int) -> int:
    """rbinder's process that exports: the launcher's other child."""
    others: list[int] = until(
        lambda: [c for c in children(launcher) if c != tracer(launcher)], lambda: f"{launcher} has a collector"
    )
    return others[0]


def memory(keeper: int) -> int:
    """The keeper's shared memory, opened as an agent does it."""
    for entry in Path(f"/proc/{keeper}/fd").iterdir():
        if os.readlink(entry).startswith("/memfd:rbinder"):
            return os.open(entry, os.O_RDWR)
    raise AssertionError("the keeper has no shared memory")


def name(pid: int) -> str:
    """What it executes, as proc(5) has it in comm; "" where it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip()
    except OSError:
        return ""


def state(pid: int) -> str:
    """As proc(5) has it: "T" is stopped, "Z" ended; nobody need have waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    return state(pid) == "Z"


def stop(pid: int) -> None:
    """Stop a process, and wait until it is: a busy machine may let it run on for a while."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state(pid) == "T", lambda: f"process {pid} stops")


def wait_until_gone(pid: int) -> None:
    until(lambda: gone(pid), lambda: f"process {pid} ends")


def end(pid: int) -> None:
    """Kill a process that isn't our child, and wait for its end."""
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)


# An unprivileged user who may still pass directories that are root's: the tests' own files lie below such.
AS_NOBODY = (
    "setpriv",
    *(f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
    *("--bounding-set=-all,+setuid,+setgid,+dac_read_search", "--"),
)
