"""A long load while things go wrong: `make soak MINUTES=n`, or `python bench/soak.py [MINUTES]`.

Three programs run under rbinder (agent). Their OTLP endpoint goes away and comes back, answers nothing or 503; Flask's
workers are killed, and replaced by gunicorn; Node's collector is killed, and replaced by rbinder. At the end:

- no request has failed but those on a killed worker's own connections, and none has led to a call in another's trace;
- rbinder's processes have kept to a bounded memory, and have not grown;
- every span of an answered request has been delivered or said to be lost. What a killed collector had taken is lost
  without a number ("the spans it had not exported are lost"): there it holds for all requests since the last kill.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from apps import BUILT, build, build_back
from askers import Askers
from ecosystems import BuildFailed
from endpoint import Endpoint, State
from memory import proportional
from programs import DEADLINE, Failure, Program, Programs, children, free_port, rbinder, roles

CONNECTIONS, RATE = 8, 120  # of each program; requests a second
WORKERS = 3
CYCLE = 45.0  # seconds, in which everything happens that is in _events(); of collectors, three a minute are replaced
MIB = 1 << 20
MOST = {"launcher": 64 * MIB, "keeper": 64 * MIB, "collector": 256 * MIB}  # of memory (PSS), at any time
GROWTH = {"launcher": 4 * MIB, "keeper": 4 * MIB, "collector": 48 * MIB}  # from the first half to the second, peaks
KILLED = "the collector was killed"


@dataclass
class Soaked:
    """A program under load, and what was done to it."""

    name: str
    program: Program
    askers: Askers
    workers_killed: int = 0
    collectors_killed: int = 0
    memory: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def sample(self) -> None:
        """What rbinder's processes take now."""
        for role in roles(self.program, "agent"):
            if role.name in MOST and (size := proportional(role.pid)):
                self.memory[role.name].append(size)

    def kill_worker(self) -> None:
        """It is stopped first: then it can be told exactly which connections it has taken."""
        keeper = next(role.pid for role in roles(self.program, "agent") if role.name == "keeper")
        (master,) = children(keeper)
        worker = children(master)[0]
        os.kill(worker, signal.SIGSTOP)
        _until(lambda: _state(worker) == "T", "a worker to stop")
        self.askers.doom(peer_ports(worker))
        os.kill(worker, signal.SIGKILL)
        self.workers_killed += 1

    def kill_collector(self) -> None:
        """A new era begins when another one has followed: what is asked from then on is not lost with the first."""
        _until(lambda: self._collector() > 0, "a collector")
        killed = self._collector()
        os.kill(killed, signal.SIGKILL)
        _until(lambda: self._collector() not in (0, killed), "another collector")
        self.askers.era += 1
        self.collectors_killed += 1

    def _collector(self) -> int:
        """Its process; 0 between two."""
        return next((role.pid for role in roles(self.program, "agent") if role.name == "collector"), 0)


def _until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not holds():
        if time.monotonic() > end:
            raise Failure(f"waited in vain for {what}")
        time.sleep(0.01)


def _state(pid: int) -> str:
    """As in proc(5): T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def peer_ports(pid: int) -> set[int]:
    """The other ends' ports of all its TCP connections over IPv4."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            inodes.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
    rows = (line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:])
    return {int(row[2].partition(":")[2], 16) for row in rows if row[9] in inodes}


def _start(programs: Programs, endpoint: Endpoint, directory: Path) -> dict[str, Soaked]:
    back = free_port()
    programs.start([build_back(directory), str(back)], back)
    soaked = {}
    for number, (name, more) in enumerate({"Flask": ["-w", str(WORKERS)], "Node": [], "C": []}.items()):
        port = free_port()
        program = programs.start(
            [*rbinder("-e", "agent", "-x", "otlp"), *build(name, directory).command(port, back), *more],
            port,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint.url(name),
            OTEL_EXPORTER_OTLP_TIMEOUT="30000",  # an answer that is late on a busy machine isn't taken for none
            RBINDER_EXIT_TIMEOUT="25",
        )
        askers = Askers(number, port, CONNECTIONS, RATE)
        programs.callback(askers.stop)
        soaked[name] = Soaked(name, program, askers)
    return soaked


def _events(soaked: dict[str, Soaked], endpoint: Endpoint) -> Iterator[tuple[float, Callable[[], None]]]:
    """What happens when, in seconds since the start: cycle after cycle, for ever. Everything happens in every state."""
    flask, node = soaked["Flask"], soaked["Node"]
    start = 0.0
    while True:
        yield start + 2, flask.kill_worker
        yield start + 6, lambda: endpoint.become(State.GONE)
        yield start + 9, flask.kill_worker
        yield start + 10, node.kill_collector
        yield start + 16, lambda: endpoint.become(State.UP)
        yield start + 20, lambda: endpoint.become(State.UNAVAILABLE)
        yield start + 22, flask.kill_worker
        yield start + 28, lambda: endpoint.become(State.UP)
        yield start + 32, node.kill_collector
        start += CYCLE


def _go_wrong(soaked: dict[str, Soaked], endpoint: Endpoint, seconds: float) -> None:
    """Let it all happen for so long, and then let the endpoint be there."""
    began = sampled = time.monotonic()
    events = _events(soaked, endpoint)
    due, event = next(events)
    while (now := time.monotonic() - began) < seconds:
        if now >= due:
            event()
            due, event = next(events)
        if time.monotonic() >= sampled:
            for each in soaked.values():
                _must(each.program.process.poll() is None, f"{each.name} has ended")
                each.sample()
            sampled += 2.0
        time.sleep(0.05)
    endpoint.become(State.UP)


def _must(good: bool, sentence: str) -> None:
    if not good:
        raise Failure(sentence)


def _judge(each: Soaked, endpoint: Endpoint, said: str) -> list[str]:
    """The lines to print of a program that has ended. Raises Failure."""
    asked, name = each.askers.asked, each.name
    found = re.search(r"(\d+) spans? w(?:as|ere) lost", said)
    lost, delivered = int(found[1]) if found else 0, endpoint.spans[name]
    answered = sum(asked.answered.values())
    _must(not asked.wrong, f"{name}: {len(asked.wrong)} times, first: {(asked.wrong or [''])[0]}")
    _must(answered > 0, f"{name} answered nothing")
    _must(said.count(KILLED) == each.collectors_killed, f"{name}: not every killed collector was told of: {said}")
    least, most = asked.spans, asked.spans + 2 * asked.failed  # a failed request may have been read, and may not
    counted = f"{name}: {least} to {most} spans were made, {delivered} came, {lost} were said to be lost: {said[-500:]}"
    _must(delivered + lost <= most, counted)
    if each.collectors_killed:
        era = each.askers.era
        came = endpoint.served[name, each.askers.mark(era)]
        since = f"since the last kill {asked.answered[era]} requests were answered, {came} SERVER spans came"
        _must(came <= asked.answered[era] <= came + lost, f"{counted}; {since}")
    else:
        _must(least <= delivered + lost, counted)
    lines = [
        f"{name}: {answered} requests answered, {asked.failed} failed with {each.workers_killed} killed workers; "
        f"calls: {asked.bound} in their request's trace, {asked.unbound} in one of their own, none in another's",
        f"  {delivered} spans delivered + {lost} counted as lost = {delivered + lost} of {least} to {most} made"
        + (f"; {each.collectors_killed} collectors killed" if each.collectors_killed else ""),
    ]
    return [*lines, *_memory(each)]


def _memory(each: Soaked) -> Iterator[str]:
    for role, sizes in each.memory.items():
        first, second = max(sizes[: len(sizes) // 2], default=0), max(sizes[len(sizes) // 2 :], default=0)
        line = f"{role}: {first / MIB:.1f} MiB at most in the first half, {second / MIB:.1f} MiB in the second"
        _must(max(first, second) <= MOST[role], f"{each.name}, memory of the {line}")
        _must(second <= first + GROWTH[role], f"{each.name}, memory of the {line}")
        yield f"  {line}"


def soak(minutes: float, directory: Path) -> list[str]:
    """The lines to print. Raises Failure for whatever must not be."""
    endpoint = Endpoint()
    with tempfile.TemporaryDirectory(prefix="rbinder-soak-") as name, Programs(Path(name)) as programs:
        programs.callback(endpoint.close)
        soaked = _start(programs, endpoint, directory)
        _go_wrong(soaked, endpoint, minutes * 60)
        for each in soaked.values():
            each.askers.stop()
        said = {name: each.program.stop() for name, each in soaked.items()}
        return [line for name, each in soaked.items() for line in _judge(each, endpoint, said[name])]


def main() -> int:
    """The exit status."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    try:
        print("\n".join(soak(minutes, BUILT)))
    except (Failure, BuildFailed, OSError, subprocess.SubprocessError) as failure:
        print(f"soak: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
