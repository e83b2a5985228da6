"""Starts programs under rbinder, waits for what they really do, and ends them. No test waits for time to pass.

Every wait here polls a condition and fails at a deadline (seconds).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ROOT / "tests" / "targets"
DEADLINE = 30.0
EXPORTED = 15.0  # for spans to arrive
POLL = 0.02  # between two looks at a condition

Span = dict[str, Any]
T = TypeVar("T")
S = TypeVar("S", bound=socketserver.BaseServer)


def until(condition: Callable[[], T], what: Callable[[], str], timeout: float = DEADLINE) -> T:
    """Wait until the condition's value is true, and return it. Fails at the deadline, saying what didn't come true."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {timeout} s: {what()}"
        time.sleep(POLL)
    return value


def free_port() -> int:
    """A TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(server: S) -> Iterator[S]:
    """The server answers, on a thread of its own; at the end it is closed."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def filled(template: str, out: Path, **values: object) -> Path:
    """Write a configuration: a template among the targets, with the value in place of each @NAME@."""
    text = (TARGETS / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    out.write_text(text)
    return out


def system_program(name: str) -> str:
    """The path of a server that a user's own search path may not lead to; its name if there is none."""
    return shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin") or name


def clean_environment() -> dict[str, str]:
    """What a program needs to run at all: nothing of OTEL_* or RBINDER_* leaks from outside into a test."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


def exchange(port: int, request: bytes, timeout: float = DEADLINE) -> bytes:
    """Send these very bytes on a connection of their own; return everything that comes back until it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(request)
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


@dataclass
class Finished:
    """How a command that ran to its end did."""

    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def remarks(self) -> list[str]:
        """The lines on stderr that are rbinder's own."""
        return [line for line in self.stderr.splitlines() if line.startswith("rbinder:")]


class Program:
    """A running command, with its output in files. `stop` ends it as a service manager does."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], directory: Path) -> None:
        self.command = list(command)
        self._paths = [directory / "stdout", directory / "stderr"]
        files: list[IO[bytes]] = [path.open("wb") for path in self._paths]
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=files[0], stderr=files[1], env=dict(environment), cwd=ROOT
        )
        for file in files:
            file.close()

    def wait_for_port(self, port: int) -> None:
        until(lambda: listens(port) or self._ended(), lambda: f"{self.command} listens on {port}")
        assert self.process.poll() is None, f"ended before it listened: {self.finished()}"

    def wait(self, timeout: float = DEADLINE) -> Finished:
        """Wait for its end by itself. It is killed, and the test fails, at the deadline."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"not ended within {timeout} s: {self.command} {self.finished()}") from None
        return self.finished()

    def stop(self, *statuses: int) -> Finished:
        """SIGTERM, then the end with one of these statuses (default: the program's own way to end, or death by it)."""
        running = self.process.poll() is None
        if running:
            self.process.send_signal(signal.SIGTERM)
        finished = self.wait()
        assert running, f"ended before it was asked to: {self.command} {finished}"
        assert finished.status in (statuses or (0, 128 + signal.SIGTERM)), f"{self.command} {finished}"
        return finished

    def finished(self) -> Finished:
        out, err = (path.read_text(errors="replace") for path in self._paths)
        return Finished(self.process.returncode, out, err, time.monotonic() - self.started)

    def _ended(self) -> bool:
        return self.process.poll() is not None


class Collector:
    """The OTLP receiver of examples/collector.py, in a process of its own."""

    def __init__(self, directory: Path) -> None:
        script = str(ROOT / "examples" / "collector.py")
        command = [sys.executable, script, "--http", "0", "--grpc", "0", "--json", str(directory / "spans.jsonl")]
        self._program = Program(command, clean_environment(), directory)
        self.http, self.grpc = self._ports(directory / "stdout")

    def _ports(self, output: Path) -> tuple[int, int]:
        def first_line() -> str:
            assert self._program.process.poll() is None, f"the collector ended: {self._program.finished()}"
            line, newline, _ = output.read_text().partition("\n")
            return line if newline else ""

        ports = json.loads(until(first_line, lambda: "the collector tells its ports"))
        return ports["http"], ports["grpc"]

    def endpoint(self, protocol: str = "http/protobuf") -> str:
        return f"http://127.0.0.1:{self.grpc if protocol == 'grpc' else self.http}"

    def received(self) -> list[Span]:
        with urllib.request.urlopen(f"{self.endpoint()}/spans", timeout=DEADLINE) as response:
            spans: list[Span] = json.load(response)
        return spans

    def reset(self) -> None:
        request = urllib.request.Request(f"{self.endpoint()}/reset", method="POST")
        urllib.request.urlopen(request, timeout=DEADLINE).close()

    def spans(self, count: int, where: Callable[[Span], bool] = lambda span: True) -> list[Span]:
        """Wait until at least `count` spans that fulfil `where` have come, and return all of them."""

        def enough() -> list[Span]:
            found = [span for span in self.received() if where(span)]
            return found if len(found) >= count else []

        return until(enough, lambda: f"{count} spans at the collector, which has {self.received()}", EXPORTED)

    def trace(self, trace_id: str, count: int) -> list[Span]:
        """Wait until `count` spans of one trace have come, and return them."""
        return self.spans(count, lambda span: span["traceId"] == trace_id)

    def stop(self) -> None:
        self._program.stop(0, -signal.SIGTERM)


@dataclass
class Rbinder:
    """Starts commands under rbinder with one engine, exporting to the collector unless told otherwise."""

    engine: str
    collector: Collector
    directory: Path
    programs: list[Program] = field(default_factory=list)

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        exporting = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.endpoint(),
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "RBINDER_EXIT_TIMEOUT": "20",  # seconds: on a busy machine a collector of low priority needs them
        }
        return clean_environment() | exporting | dict(extra or {})

    def start(
        self, *command: str, options: Sequence[str] = (), environment: Mapping[str, str] | None = None, port: int = 0
    ) -> Program:
        """Start a command; with a port, return when it listens there."""
        directory = self.directory / str(len(self.programs))
        directory.mkdir(parents=True)
        whole = [sys.executable, "-m", "rbinder", "-e", self.engine, *options, "--", *command]
        program = Program(whole, self.environment(environment), directory)
        self.programs.append(program)
        if port:
            program.wait_for_port(port)
        return program

    def run(
        self,
        *command: str,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        timeout: float = DEADLINE,
    ) -> Finished:
        """Run a command to its end."""
        return self.start(*command, options=options, environment=environment).wait(timeout)

    def close(self) -> None:
        """Stop what still runs; show what was said, for the report of a test that failed."""
        try:
            for program in self.programs:
                if program.process.poll() is None:
                    program.stop()
        finally:
            for program in self.programs:
                finished = program.wait()
                print(f"$ {' '.join(program.command)}\n{finished.stdout[-4000:]}{finished.stderr[-4000:]}")
