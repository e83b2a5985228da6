"""The programs that are measured: built, started, looked at through /proc, and always ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "bench"
TARGETS = ROOT / "tests" / "targets"
DEADLINE = 30.0  # seconds until a program listens, or ends
_POLL = 0.01  # seconds between two looks at a condition


class Failure(Exception):
    """Nothing can be measured: a program didn't start, or ended early."""


def build(source: Path, directory: Path, *flags: str) -> str:
    """Compile a C program; returns its path."""
    out = directory / source.stem
    command = ["gcc", "-O2", *flags, "-o", str(out), str(source), "-lpthread"]
    subprocess.run(command, check=True, timeout=120)
    return str(out)


def free_port() -> int:
    """A TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What a program needs to run at all, and `extra`: nothing of OTEL_* or RBINDER_* leaks in from outside."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ} | dict(extra)


def rbinder(*options: str) -> list[str]:
    """The command that runs another one under rbinder, as it is in this tree."""
    return [sys.executable, "-m", "rbinder", *options, "--"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A process as /proc tells of it."""

    pid: int
    parent: int

    @classmethod
    def of(cls, pid: int) -> Seen | None:
        """None where it is gone."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return cls(pid, int(fields[1]))


def cpu_seconds(pid: int) -> float:
    """What a process's threads have taken of the CPU, those that have ended too, to the nanosecond. Raises OSError.

    The clock's number is made as clock_getcpuclockid(3) makes it; 2 is the scheduler's own count.
    """
    return time.clock_gettime(~pid << 3 | 2)


def children(pid: int) -> list[int]:
    """The processes that `pid` is the parent of, in the order of their ids."""
    everybody = (Seen.of(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return sorted(seen.pid for seen in everybody if seen is not None and seen.parent == pid)


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, the lowest first."""
    below = children(pid)
    return [lower for child in below for lower in descendants(child)] + below


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


class Program:
    """A running command. `stop` ends it, and returns what it said on stderr."""

    def __init__(self, command: Sequence[str], extra: Mapping[str, str], directory: Path) -> None:
        self._command = list(command)
        self._stderr = directory / f"stderr-{time.monotonic_ns()}"
        with self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment(extra),
                cwd=ROOT,
            )

    def connection(self, port: int) -> socket.socket:
        """The first connection that is taken there. Raises Failure."""
        end = time.monotonic() + DEADLINE
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise Failure(f"{' '.join(self._command)} doesn't listen: {self._stderr.read_text()}") from None
                time.sleep(_POLL)

    def stop(self, patience: float = DEADLINE) -> str:
        """SIGTERM, and SIGKILL for all that doesn't heed it in time (seconds).

        strace, told itself, would leave its program behind.
        """
        if self.process.poll() is None:
            own = self.process.pid
            _send(children(own) if self._command[0] == "strace" else [own], signal.SIGTERM)
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                _send([*descendants(self.process.pid), self.process.pid], signal.SIGKILL)
                self.process.wait()
        return self._stderr.read_text(errors="replace")


class Programs(ExitStack):
    """Starts programs, and ends those that still run when it is left, whatever happened."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory

    def start(self, command: Sequence[str], port: int = 0, **extra: str) -> Program:
        """Start a command; with a port, return when it listens there."""
        program = Program(command, extra, self.directory)
        self.callback(program.stop)
        if port:
            program.connection(port).close()
        return program


@dataclass(frozen=True, slots=True)
class Role:
    """One of the processes below a starter (or the program itself), by what it does."""

    name: str
    pid: int


def roles(program: Program, engine: str) -> list[Role]:
    """rbinder's processes and the program's: launcher, its child that has children (tracer, keeper), collector."""
    launcher = program.process.pid
    found = [Role("launcher", launcher)]
    for child in children(launcher):
        started = children(child)
        found.append(Role({"ptrace": "tracer", "agent": "keeper"}[engine] if started else "collector", child))
        found.extend(Role("program", pid) for pid in (each for own in started for each in [own, *descendants(own)]))
    return found
