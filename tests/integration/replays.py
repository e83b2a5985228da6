"""Drives tests/targets/replay.c: writes its script, plays the peer of its connections, and keeps every byte they carry.

The program and the peer go in step: at a `sync` the program waits until the peer has done its part. Nothing here waits
for time to pass.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from conformance.wire_cases import END, PLACE
from harness import DEADLINE, ROOT, clean_environment

EAGAIN_STEP = -1


Step = Callable[[], "Callable[[], None] | None"]  # what it returns is done when the program goes on


class Sent(NamedTuple):
    """A call that sent, as the program was told of it."""

    call: str
    size: int
    result: int
    error: int


@dataclass
class Outcome:
    """How a replay ended."""

    status: int
    sent: list[Sent]
    stderr: str

    @property
    def remarks(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if line.startswith("rbinder:")]


class Wire:
    """One connection of the program's, and its peer here. `received` is what the peer got, all of it."""

    def __init__(self, session: Session, slot: int) -> None:
        self._session = session
        self.slot = slot
        self.peer: socket.socket | None = None
        self.received = bytearray()
        self.expected = bytearray()  # with PLACE where a block is inserted
        self.drained: list[int] = []
        self._thread: threading.Thread | None = None

    # -- the program's part

    def send(self, marked: bytes, how: str = "write", splits: str = "-", repeat: bool = True) -> None:
        """The program sends these bytes; marks are taken out."""
        self.expected += marked.replace(END, b"")
        at, size = self._session.store(marked.replace(END, b"").replace(PLACE, b""))
        if size:
            self._session.line(f"{'send' if repeat else 'once'} {self.slot} {how} {at} {size} {splits}")

    def receive(self, data: bytes, how: str = "read", program: bool = True) -> None:
        """The peer sends these bytes and the program receives exactly them (or, `program` false, doesn't look yet)."""
        if data:
            self._session.step(lambda: lambda: self.feed(data))
            if program:
                self.take(data, how)

    def take(self, data: bytes, how: str = "read") -> None:
        """The program receives these bytes."""
        at, size = self._session.store(data)
        self._session.line(f"recv {self.slot} {how} {at} {size}")

    def do(self, word: str, *numbers: int) -> None:
        """A step of the script that is about this connection."""
        self._session.line(" ".join(map(str, (word, self.slot, *numbers))))

    def finish(self) -> None:
        """The program closes it."""
        self.do("close")

    # -- the peer's part

    def attach(self, peer: socket.socket, record: bool) -> None:
        self.peer = peer
        if record:
            self.record()

    def record(self) -> None:
        """Read all that comes, from now on, until the end."""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.peer is not None
        with contextlib.suppress(ConnectionResetError):
            while piece := self.peer.recv(65536):
                self.received += piece

    def drain(self) -> None:
        """Read what is there, for a connection that isn't recorded."""
        assert self.peer is not None
        count = 0
        with contextlib.suppress(BlockingIOError):
            while piece := self.peer.recv(65536, socket.MSG_DONTWAIT):
                self.received += piece
                count += len(piece)
        self.drained.append(count)

    def feed(self, data: bytes) -> None:
        assert self.peer is not None
        self.peer.sendall(data)

    def hang_up(self) -> None:
        """At the end: nothing more is sent, everything is received."""
        if self.peer is None:
            return
        with contextlib.suppress(OSError):
            self.peer.shutdown(socket.SHUT_WR)
        if self._thread is None:
            self.record()
        assert self._thread is not None
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the program has ended and the connection hasn't"
        self.peer.close()

    @property
    def recorded(self) -> bool:
        return self._thread is not None


@dataclass
class Session:
    """A script in the making, and the peer's side of it."""

    directory: Path
    traced: bool
    lines: list[str] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    wires: list[Wire] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    _stored: dict[bytes, int] = field(default_factory=dict)
    _listening: bool = False
    inherited: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(self.directory / "peer"))
        self.unix.listen(64)
        self.tcp = socket.create_server(("127.0.0.1", 0), backlog=64)

    # -- the script

    def line(self, text: str) -> None:
        self.lines.append(text)

    def store(self, data: bytes) -> tuple[int, int]:
        """Where the program finds these bytes."""
        if data not in self._stored:
            self._stored[data] = len(self.data)
            self.data += data
        return self._stored[data], len(data)

    def step(self, action: Step) -> None:
        """The program waits until the action is done."""
        self.line(f"sync {len(self.steps)}")
        self.steps.append(action)

    def connect(self, kind: str = "unix", slot: int = 1, room: int = 0, record: bool = True) -> Wire:
        """The program connects to the peer. `room`: its SO_SNDBUF."""
        wire = Wire(self, slot)
        self.wires.append(wire)
        where = str(self.directory / "peer") if kind == "unix" else str(self.tcp.getsockname()[1])
        self.line(f"{kind} {slot} {where} {room}")
        listener = self.unix if kind == "unix" else self.tcp
        self.step(lambda: wire.attach(listener.accept()[0], record))
        return wire

    def accept(self, slot: int = 2) -> Wire:
        """The program accepts a connection from the peer."""
        path = str(self.directory / "program")
        if not self._listening:
            self.line(f"listen 60 {path}")
            self._listening = True
        wire = Wire(self, slot)
        self.wires.append(wire)

        def connect() -> None:
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(path)
            wire.attach(peer, True)

        self.step(connect)
        self.line(f"accept 60 {slot}")
        return wire

    def inherit(self) -> Wire:
        """A connection that was there before the program, in slot 0."""
        ours = socket.create_connection(self.tcp.getsockname())
        wire = Wire(self, 0)
        self.wires.append(wire)
        wire.attach(self.tcp.accept()[0], True)
        self.inherited.append(ours.detach())
        return wire

    # -- running it

    def run(self, command: list[str], timeout: float = 4 * DEADLINE) -> Outcome:
        """Run `command` with the script's arguments to its end. Fails when it doesn't end within `timeout` seconds."""
        script, data = self.directory / "script", self.directory / "data"
        script.write_text("\n".join(self.lines) + "\n")
        data.write_bytes(self.data)
        paths = [self.directory / name for name in ("steps", "answers", "stdout", "stderr")]
        for path in paths[:2]:
            os.mkfifo(path)
        ends = [os.open(path, os.O_RDWR) for path in paths[:2]]
        environment = clean_environment() | {"REPLAY_STEPS": str(paths[0]), "REPLAY_ANSWERS": str(paths[1])}
        with paths[2].open("wb") as out, paths[3].open("wb") as err:
            self.process = subprocess.Popen(
                [*command, str(script), str(data), *map(str, self.inherited)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                cwd=ROOT,
                pass_fds=self.inherited,
            )
        for descriptor in self.inherited:
            os.close(descriptor)
        try:
            self._accompany(*ends, timeout)
        finally:
            self._close(ends)
        sent = [line.split() for line in paths[2].read_text().splitlines()]
        told = [Sent(call, int(size), int(result), int(error)) for call, size, result, error in sent]
        return Outcome(self.process.returncode, told, paths[3].read_text(errors="replace"))

    def _accompany(self, steps: int, answers: int, timeout: float) -> None:
        """Do the peer's part of each step the program comes to, until it ends."""
        assert self.process is not None
        end = os.pidfd_open(self.process.pid)
        waiting = select.poll()
        waiting.register(steps, select.POLLIN)
        waiting.register(end, select.POLLIN)
        deadline, pending = time.monotonic() + timeout, b""
        try:
            while True:
                ready = [descriptor for descriptor, _ in waiting.poll(max(0.0, deadline - time.monotonic()) * 1000)]
                if not ready:
                    self.process.kill()
                    raise AssertionError(f"not ended within {timeout} s: {self.directory}")
                if steps not in ready:
                    self.process.wait()
                    return
                *complete, pending = (pending + os.read(steps, 4096)).split(b"\n")
                for number in map(int, complete):
                    then = self._do(number)
                    os.write(answers, b"x")
                    if then is not None:
                        then()
        finally:
            os.close(end)

    def _do(self, number: int) -> Callable[[], None] | None:
        if number != EAGAIN_STEP:
            return self.steps[number]()
        for wire in self.wires:
            if wire.peer is not None and not wire.recorded:
                wire.drain()
        return None

    def _close(self, ends: list[int]) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for descriptor in ends:
            os.close(descriptor)
        for wire in self.wires:
            wire.hang_up()
        self.unix.close()
        self.tcp.close()


def traced(engine: str, program: Path, *options: str) -> list[str]:
    """The command that runs a program under rbinder."""
    return [sys.executable, "-m", "rbinder", "-e", engine, *(options or ("-x", "none")), "--", str(program)]


Scenario = Callable[[Session], None]
Play = Callable[[Scenario], tuple[Outcome, list[Wire]]]


def run_both(
    scenario: Scenario, replay: Path, engine: str, directory: Path, options: tuple[str, ...] = ()
) -> tuple[Outcome, list[Wire]]:
    """Run a scenario by itself, then under rbinder; returns how it went there, and its connections."""
    for name, command in (("untraced", [str(replay)]), ("traced", traced(engine, replay, *options))):
        session = Session(directory / name, traced=name == "traced")
        scenario(session)
        outcome = session.run(command)
        assert (outcome.status, outcome.stderr) == (0, ""), f"{name}, after {outcome.sent[-5:]}"
        if name == "untraced":
            for wire in session.wires:
                assert bytes(wire.received) == bytes(wire.expected).replace(PLACE, b""), "replay.c itself is wrong"
    return outcome, session.wires
