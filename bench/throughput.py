"""A proxied request on kept connections, in turn: untouched, untouched again, under rbinder, under strace."""

from __future__ import annotations

import random
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

from pairs import Pair
from programs import DEADLINE, Failure, Program, Programs, Role, Seen, free_port, rbinder, roles

ROUNDS = 7
MILLISECONDS = 600  # of load, each time
CONNECTIONS = (1, 8)
UNTOUCHED, AGAIN, RBINDER, STRACE = "untouched", "untouched again", "rbinder", "strace"
WAYS = (UNTOUCHED, AGAIN, RBINDER, STRACE)
_STRACE = ["strace", "-f", "--seccomp-bpf", "-e", "trace=network,read,write", "-o", "/dev/null"]


@dataclass(frozen=True, slots=True)
class Load:
    """What one stretch of load came to. `seconds` of CPU time by role."""

    requests: int
    rate: float
    latency: float  # µs, median
    seconds: dict[str, float]


@dataclass(slots=True)
class Front:
    """A front that runs in one of the ways, and what it did."""

    port: int
    roles: list[Role]
    loads: list[Load] = field(default_factory=list)

    def cpu(self) -> dict[str, float]:
        """CPU seconds by role, up to now."""
        seen = {role.name: Seen.of(role.pid) for role in self.roles}
        return {name: process.seconds for name, process in seen.items() if process is not None}

    def median(self, role: str) -> float:
        """µs of CPU time a request that a role takes."""
        return statistics.median(load.seconds[role] / load.requests * 1e6 for load in self.loads)


def _roles(way: str, program: Program) -> list[Role]:
    if way == RBINDER:
        return roles(program)
    pid = program.process.pid
    if way == STRACE:
        return [Role("strace", pid), *(Role("program", role.pid) for role in roles(program)[1:])]
    return [Role("program", pid)]


def start(programs: Programs, pair: Pair, back: int, endpoint: str) -> dict[str, Front]:
    """The same front in each of the ways, side by side; those that aren't asked take no time."""
    fronts = {}
    for way in WAYS:
        port = free_port()
        before = {RBINDER: rbinder("-q", "-x", "otlp"), STRACE: _STRACE}.get(way, [])
        program = programs.start(
            [*before, *pair.command(port, back)],
            port,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        )
        fronts[way] = Front(port, _roles(way, program))
    return fronts


def ask(load: str, front: Front, connections: int) -> Load:
    """One stretch of load."""
    before = front.cpu()
    command = [load, str(front.port), str(connections), str(MILLISECONDS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=DEADLINE)
    requests, elapsed, latency = (int(word) for word in done.stdout.split())
    after = front.cpu()
    if not before.keys() == after.keys() == {role.name for role in front.roles}:
        raise Failure("a program that is measured has ended")
    return Load(
        requests, requests / elapsed * 1e9, latency / 1e3, {name: after[name] - before[name] for name in before}
    )


def compare(load: str, fronts: dict[str, Front], connections: int) -> Iterator[str]:
    """All rounds at this many connections; the lines to print."""
    for front in fronts.values():
        front.loads.clear()
        ask(load, front, connections)  # warms up
    for _ in range(ROUNDS):
        for way in random.sample(WAYS, len(WAYS)):
            fronts[way].loads.append(ask(load, fronts[way], connections))
    base = fronts[UNTOUCHED]
    for way in WAYS[1:]:
        yield _line(way, fronts[way], base)
    yield f"  untouched: {statistics.median(one.rate for one in base.loads):.0f} requests/s"


def _line(way: str, front: Front, base: Front) -> str:
    rates = [one.rate / other.rate for one, other in zip(front.loads, base.loads, strict=True)]
    latency = statistics.median(one.latency / other.latency for one, other in zip(front.loads, base.loads, strict=True))
    own = front.median("program") / max(base.median("program"), 1e-9)
    others = ", ".join(f"{role.name} {front.median(role.name):.0f}" for role in front.roles if role.name != "program")
    spread = f"({min(rates):.2f} to {max(rates):.2f})"
    line = f"  {way:<16}{statistics.median(rates):5.2f}  {spread:<15}{latency:9.2f}{own:9.2f}"
    return f"{line}   {others}".rstrip()


HEADING = f"  {'':<16}{'throughput':<22}{'latency':>9}{'its CPU':>9}   CPU of others, µs a request"
