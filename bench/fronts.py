"""A program that runs in one of the variants: how it is started, what it takes of the CPU and of memory."""

from __future__ import annotations

import http.client
import time
from contextlib import closing
from dataclasses import dataclass, field

from apps import App
from memory import proportional
from model import AGENTS, PTRACE, SDK, STRACE, UNASKED, UNSAMPLED
from programs import DEADLINE, Failure, Program, Programs, Role, cpu_seconds, descendants, free_port, rbinder, roles
from receiver import DELAY, Receiver

_STRACE = ["strace", "-f", "--seccomp-bpf", "-e", "trace=network,read,write", "-o", "/dev/null"]
PATIENCE = 5.0  # seconds for an end: Node's instrumentation takes SIGTERM for itself, and the program never ends
_POLL = 0.002  # seconds between two tries to get the first answer


@dataclass(slots=True)
class Front:
    """One variant of a program, running. `memory` and CPU time are those of the program, then of the tool beside it."""

    app: App
    variant: str
    port: int
    program: Program
    started: float  # seconds until its first answer
    sender: str
    roles: list[Role] = field(default_factory=list)
    memory: tuple[int, int] = (0, 0)

    def look(self) -> None:
        """Who belongs to it: asked before each stretch of load, as servers start workers late."""
        if self.variant in (*AGENTS, PTRACE):
            self.roles = roles(self.program, engine(self.variant))
        else:
            pid = self.program.process.pid
            own = "strace" if self.variant == STRACE else "program"
            self.roles = [Role(own, pid), *(Role("program", each) for each in descendants(pid))]

    def cpu(self) -> tuple[float, float]:
        """CPU seconds up to now. Raises Failure where a process has ended."""
        try:
            taken = [(role.name == "program", cpu_seconds(role.pid)) for role in self.roles]
        except OSError:
            raise Failure("a process of it has ended") from None
        return sum(time for own, time in taken if own), sum(time for own, time in taken if not own)

    def weigh(self) -> None:
        """Keep the most memory that it has been seen to take."""
        now = [(role.name == "program", proportional(role.pid)) for role in self.roles]
        own, tool = sum(size for program, size in now if program), sum(size for program, size in now if not program)
        self.memory = max(self.memory[0], own), max(self.memory[1], tool)

    def pids(self, *names: str) -> list[int]:
        """Of the processes in these roles."""
        return [role.pid for role in self.roles if role.name in names]


def engine(variant: str) -> str:
    """Of rbinder's variants."""
    return "agent" if variant in AGENTS else "ptrace"


def command(app: App, variant: str, port: int, back: int) -> tuple[list[str], dict[str, str]]:
    """What is run, and what is in its environment besides the sink."""
    plain = app.command(port, back)
    if variant in AGENTS and app.why_no_agent:
        raise Failure(app.why_no_agent)
    if variant in (*AGENTS, PTRACE):
        more = ("--no-runtime-hooks",) if variant == UNASKED else ()
        extra = {"OTEL_TRACES_SAMPLER": "always_off"} if variant == UNSAMPLED else {}
        return [*rbinder("-q", "-x", "otlp", "-e", engine(variant), *more), *plain], extra
    if variant == STRACE:
        return [*_STRACE, *plain], {}
    if variant == SDK:
        if app.sdk is None:
            raise Failure(app.why_not)
        return app.sdk.command(plain), dict(app.sdk.environment)
    return plain, {}


def start(programs: Programs, app: App, variant: str, back: int, receiver: Receiver) -> Front:
    """Start it, and wait for its first answer. Raises Failure."""
    port, sender = free_port(), f"{app.name} {variant}"
    words, extra = command(app, variant, port, back)
    sink = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint(sender),
        "OTEL_BSP_SCHEDULE_DELAY": str(round(DELAY * 1000)),
        "OTEL_SERVICE_NAME": "front",
    }
    began = time.monotonic()
    program = programs.start(words, 0, **(sink | extra))
    programs.callback(program.stop, PATIENCE)
    _answered(program, port, f"/{app.archetypes[0]}?id=0", began)
    return Front(app, variant, port, program, time.monotonic() - began, sender)


def _answered(program: Program, port: int, path: str, began: float) -> None:
    while True:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as client:
                client.request("GET", path)
                answer = client.getresponse()
                answer.read()
            if answer.status == 200:
                return
            why = f"its first answer is {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            why = f"it gives no answer: {error}"
        if program.process.poll() is not None or time.monotonic() - began > 2 * DEADLINE:
            raise Failure(f"{why}; it said: {program.stop()[-500:]}")
        time.sleep(_POLL)
