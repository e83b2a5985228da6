"""Stretches of load on a front: what it answered, what it took of the CPU, which spans came of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from fronts import Front
from loads import Generators, Load
from model import AGENT, PTRACE, SDK, UNASKED, Cell, Round
from programs import Failure
from receiver import Receiver

CONNECTIONS = 8
_TRACING = (AGENT, UNASKED, PTRACE, SDK)  # variants that make spans


@dataclass(frozen=True, slots=True)
class Stretches:
    """How long each is, in seconds, and who asks and who counts."""

    generators: Generators
    receiver: Receiver
    seconds: float

    def accustom(self, front: Front, archetype: str, seconds: float) -> None:
        """Load that isn't counted, and what its spans cost: over before anything is measured."""
        with suppress(Failure):  # a cold program on a busy machine may have no answer yet
            load = self.generators.saturate(front.port, f"/{archetype}", CONNECTIONS, seconds)
            self.receiver.take(front.sender, expected(front.variant, archetype, load.requests))

    def measure(self, front: Front, cell: Cell) -> Round:
        """What its spans still cost after it is counted to it, and over before the next. Raises Failure, OSError."""
        self.receiver.forget(front.sender)
        front.look()
        before = front.cpu()
        load = self._ask(front, cell)
        front.weigh()
        due = expected(front.variant, cell.archetype, load.requests)
        spans = self.receiver.take(front.sender, due) if due else 0
        own, tool = (after - earlier for after, earlier in zip(front.cpu(), before, strict=True))
        return Round(load.requests, load.errors, load.seconds, load.p50, load.p99, own, tool,
                     spans, due, load.linked, load.calls, load.wrong)  # fmt: skip

    def _ask(self, front: Front, cell: Cell) -> Load:
        path = f"/{cell.archetype}"
        if cell.rate:
            return self.generators.attack(front.port, path, cell.rate, self.seconds)
        return self.generators.saturate(front.port, path, cell.connections, self.seconds)


def expected(variant: str, archetype: str, requests: int) -> int:
    """Spans of so many requests: one for each that is served, and where that calls the back, one for the call."""
    return requests * (1 if archetype == "hello" else 2) if variant in _TRACING else 0
