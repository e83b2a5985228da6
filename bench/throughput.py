"""A proxied request on kept connections, in turn: untouched, untouched again, and in each way of tracing it."""

from __future__ import annotations

import random
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

from pairs import Pair
from peers import Peers
from programs import DEADLINE, Failure, Program, Programs, Role, Seen, descendants, free_port, rbinder, roles
from receiver import Receiver

ROUNDS = 7
MILLISECONDS = 1000  # of load, each time
CONNECTIONS = (1, 8)
UNTOUCHED, AGAIN, UNSAMPLED, AGENT, PTRACE, STRACE, PEER = (
    "untouched",
    "untouched again",
    "agent, unsampled",
    "agent",
    "ptrace",
    "strace",
    "its own SDK",
)
_STRACE = ["strace", "-f", "--seccomp-bpf", "-e", "trace=network,read,write", "-o", "/dev/null"]
_ENGINES = {UNSAMPLED: "agent", AGENT: "agent", PTRACE: "ptrace"}


@dataclass(frozen=True, slots=True)
class Load:
    """What one stretch of load came to. `seconds` of CPU time by role; `spans` that arrived for it."""

    requests: int
    rate: float
    latency: float  # µs, median
    seconds: dict[str, float]
    spans: int


@dataclass(slots=True)
class Front:
    """A front that runs in one of the ways, and what it did."""

    way: str
    port: int
    program: Program
    engine: str
    loads: list[Load] = field(default_factory=list)
    roles: list[Role] = field(default_factory=list)

    def look(self) -> None:
        """Who belongs to it: asked when it has served, as servers start workers late."""
        if self.engine:
            self.roles = roles(self.program, self.engine)
        else:
            pid = self.program.process.pid
            below = [Role("program", each) for each in descendants(pid)]
            self.roles = [Role("strace" if self.way == STRACE else "program", pid), *below]

    def cpu(self) -> dict[str, float]:
        """CPU seconds by role, up to now. Raises Failure."""
        total: dict[str, float] = {}
        for role in self.roles:
            process = Seen.of(role.pid)
            if process is None:
                raise Failure(f"a process of {self.way} has ended")
            total[role.name] = total.get(role.name, 0.0) + process.seconds
        return total

    def median(self, role: str) -> float:
        """µs of CPU time a request that a role takes."""
        return statistics.median(load.seconds[role] / load.requests * 1e6 for load in self.loads)


def start(programs: Programs, pair: Pair, back: int, receiver: Receiver, peers: Peers) -> dict[str, Front]:
    """The same front in each of the ways, side by side; those that aren't asked take no time."""
    fronts = {}
    peer = peers.get(pair.peer)
    for way in (UNTOUCHED, AGAIN, UNSAMPLED, AGENT, PTRACE, STRACE, PEER):
        if way == PEER and peer is None:
            continue
        engine = _ENGINES.get(way, "")
        extra = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint(way),
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "500",  # less than the receiver's quiet: else spans are counted a round too late
        }
        command = pair.command(port := free_port(), back)
        before = _STRACE if way == STRACE else rbinder("-q", "-x", "otlp", "-e", engine) if engine else []
        if way == UNSAMPLED:
            extra["OTEL_TRACES_SAMPLER"] = "always_off"
        if way == PEER and peer is not None:
            before, extra = list(peer.prefix), extra | dict(peer.environment)
            command = command[peer.instead_of :]
        program = programs.start([*before, *command], port, **extra)
        fronts[way] = Front(way, port, program, engine)
    return fronts


def ask(load: str, front: Front, connections: int, receiver: Receiver) -> Load:
    """One stretch of load; what its spans still cost after it is counted to it, and over before the next."""
    before = front.cpu()
    command = [load, str(front.port), str(connections), str(MILLISECONDS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=DEADLINE)
    requests, elapsed, latency = (int(word) for word in done.stdout.split())
    spans = receiver.take(front.way)
    after = front.cpu()
    return Load(
        requests,
        requests / elapsed * 1e9,
        latency / 1e3,
        {name: after[name] - before[name] for name in before},
        spans,
    )


def compare(load: str, fronts: dict[str, Front], connections: int, receiver: Receiver) -> Iterator[str]:
    """All rounds at this many connections; the lines to print."""
    for front in fronts.values():
        front.loads.clear()
        front.look()
        ask(load, front, connections, receiver)  # warms up
        front.look()
    for _ in range(ROUNDS):
        for way in random.sample(list(fronts), len(fronts)):
            fronts[way].loads.append(ask(load, fronts[way], connections, receiver))
    base = fronts[UNTOUCHED]
    for way, front in fronts.items():
        if way != UNTOUCHED:
            yield _line(front, base)
    yield f"  untouched: {statistics.median(one.rate for one in base.loads):.0f} requests/s"


def _line(front: Front, base: Front) -> str:
    rates = [one.rate / other.rate for one, other in zip(front.loads, base.loads, strict=True)]
    latency = statistics.median(one.latency / other.latency for one, other in zip(front.loads, base.loads, strict=True))
    own = front.median("program") / max(base.median("program"), 1e-9)
    names = dict.fromkeys(role.name for role in front.roles if role.name != "program")
    others = ", ".join(f"{name} {front.median(name):.0f}" for name in names)
    spread = f"({min(rates):.2f} to {max(rates):.2f})"
    spans = sum(one.spans for one in front.loads) / sum(one.requests for one in front.loads)
    line = f"  {front.way:<17}{statistics.median(rates):5.2f}  {spread:<15}{latency:9.2f}{own:9.2f}{spans:8.2f}"
    return f"{line}   {others}".rstrip()


HEADING = f"  {'':<17}{'throughput':<22}{'latency':>9}{'its CPU':>9}{'spans':>8}   CPU of others, µs a request"
