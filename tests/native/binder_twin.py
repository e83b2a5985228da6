"""Performs the operations of binder_driver.c with the Python binder, and says the same about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rbinder.binder.binder import Binder
from rbinder.binder.context import SpanContext
from rbinder.binder.dialogue import Dialogue
from rbinder.binder.edits import Edit, accepted, pieces
from rbinder.binder.plans import Plan
from rbinder.binder.propagation import Inbound, Propagation
from rbinder.binder.rules import Group, Request, Thread
from rbinder.binder.sampling import Sampler
from rbinder.http.scanner import Head, RequestScanner
from rbinder.records import ExchangeFailed, Kind, MessageEnd, Payload, RequestHead, ResponseHead, Side

_NAMES = {1: "tracecontext", 2: "baggage", 4: "b3", 8: "b3multi"}
_BITS = (1 << 64) - 1
_KEPT_TRACEPARENT = 128  # context.h: of a longer one the program's verbatim copy isn't recognised


def shown(data: bytes) -> str:
    return "=" + data.hex()


@dataclass
class Bytes:
    """A call's buffers. They are read one at a time: where a blank line's CR ends one, its head is told at once."""

    data: bytes
    cuts: str

    @property
    def total(self) -> int:
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        ends = [int(cut) for cut in self.cuts.split(",") if cut != "-"]
        return self.data[offset : min([offset + size, *(end for end in ends if end > offset)])]


class Ids:
    """splitmix64, as the driver's."""

    def __init__(self) -> None:
        self._state = 0

    def _next(self) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _BITS
        value = self._state
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _BITS
        value = (value ^ value >> 27) * 0x94D049BB133111EB & _BITS
        return value ^ value >> 31

    def bits(self, count: int) -> int:
        return self._next() if count == 64 else self._next() << 64 | self._next()


class Twin:
    """One script's world. `lines` is what the driver is expected to print."""

    def __init__(self) -> None:
        self.script: list[str] = []
        self.lines: list[str] = []
        self.groups: dict[int, Group] = {}
        self.threads: dict[int, Thread] = {}
        self.dialogues: dict[int, Dialogue] = {}
        self.plans: dict[int, tuple[Dialogue, Plan]] = {}
        self._ids = Ids()
        self.configure(1, True, True, 0)

    def _did(self, *words: Any) -> None:
        self.script.append(" ".join(str(int(word)) if isinstance(word, (bool, int)) else word for word in words))

    # -- what is printed

    def _emit(self, dialogue: Dialogue, kind: Kind, now: int, exchange: bytes, payload: Payload) -> None:
        assert dialogue.side is not None
        common = f"{dialogue.identity} {now} {int(dialogue.side)} {shown(exchange)} "
        match payload:
            case RequestHead():
                line = f"request {common}{shown(payload.trace_id)}{shown(payload.parent_id)} "
                line += f"{int(payload.remote_parent)} {payload.trace_flags} {payload.started} "
                line += f"{shown(payload.trace_state.encode())}{shown(payload.head)}"
            case ResponseHead():
                line = f"response {common}{shown(payload.head)}"
            case MessageEnd():
                line = f"end {common}{int(payload.is_response)} {payload.body_size}"
            case ExchangeFailed():
                line = f"failure {common}{payload.error_type}"
            case _:
                raise AssertionError(payload)
        self.lines.append(line)

    def _state(self, dialogue: Dialogue | None, thread: Thread | None = None) -> None:
        line = "state"
        if dialogue is not None:
            flags = (dialogue.opaque, dialogue.settled, dialogue.unanswered, dialogue.answering, dialogue.fresh)
            line += f" {int(dialogue.side or 0)} {' '.join(str(int(flag)) for flag in flags)} {_whose(dialogue.tag)}"
        if thread is not None:
            group = thread.group
            flags = int(thread.interleaves), int(thread.strays)
            counts = len(thread.serving), len(group.requests), *flags, group.begun, group.doubted_until
            line += f" {' '.join(map(str, counts))} {_whose(thread.cause(None))}"
        self.lines.append(line)

    # -- what there is

    def configure(self, propagators: int, everything: bool, parent_based: bool, bound: int) -> None:
        self._did("configure", propagators, everything, parent_based, bound)
        self.propagation = Propagation(tuple(name for bit, name in _NAMES.items() if propagators & bit))
        self.sampler = Sampler(1 << 64 if everything else bound, parent_based)
        self.binder = Binder(self.propagation, self.sampler, self._ids.bits)

    def group(self, which: int, migrates: bool) -> None:
        self._did("group", which, migrates)
        self.groups[which] = Group(migrates)

    def thread(self, which: int, group: int) -> None:
        self._did("thread", which, group)
        self.threads[which] = Thread(self.groups[group])

    def inherit(self, which: int, parent: int, forked: bool) -> None:
        self._did("inherit", which, parent, forked)
        self.threads[which].inherit(self.threads[parent])
        self._state(None, self.threads[which])

    def ended(self, which: int) -> None:
        self._did("ended", which)

    def dialogue(self, which: int, group: int, known_start: bool, peer: int) -> None:
        self._did("dialogue", which, group, which + 1000, known_start, peer)
        self.dialogues[which] = Dialogue(self.binder, self._emit, which + 1000, known_start)
        self.dialogues[which].peer = peer

    # -- what a runtime says

    def bound(self, which: int, task: int) -> None:
        self._did("bound", which, task)
        self.dialogues[which].task = task

    def says(self, which: int, task: int, asked: int, told: bool) -> None:
        self._did("says", which, task, asked, told)
        thread = self.threads[which]
        thread.task, thread.asked, thread.told = task, asked, told
        self._state(None, thread)

    # -- events

    def connecting(self, which: int, thread: int) -> None:
        self._did("connecting", which, thread)
        self.dialogues[which].connecting(self.threads[thread])
        self._state(self.dialogues[which], self.threads[thread])

    def starts(self, which: int, now: int) -> None:
        self._did("starts", which, now)
        self.dialogues[which].starts(now)
        self._state(self.dialogues[which])

    def fail(self, which: int, error_type: str, now: int) -> None:
        self._did("fail", which, error_type, now)
        self.dialogues[which].fail(error_type, now)
        self._state(self.dialogues[which])

    def give_up(self, which: int, error_type: str, now: int) -> None:
        self._did("give_up", which, error_type, now)
        self.dialogues[which].give_up(error_type, now)
        self._state(self.dialogues[which])

    def eof(self, which: int, inbound: bool, now: int) -> None:
        self._did("eof", which, inbound, now)
        self.dialogues[which].eof(inbound, now)
        self._state(self.dialogues[which])

    def over(self, which: int, thread: int, now: int) -> None:
        self._did("over", which, thread, now)
        self.dialogues[which].ended(self.threads[thread], now)
        self._state(self.dialogues[which], self.threads[thread])

    def broken(self, which: int, thread: int, error_type: str, reading: bool, now: int) -> None:
        self._did("broken", which, thread, error_type, reading, now)
        self.dialogues[which].broken(self.threads[thread], error_type, reading, now)
        self._state(self.dialogues[which], self.threads[thread])

    def closed(self, which: int, now: int) -> None:
        self._did("closed", which, now)
        self.dialogues[which].closing(now)
        self.dialogues[which].closed(now)
        self._state(self.dialogues[which])

    def moved(self, which: int, count: int, inbound: bool, now: int) -> None:
        self._did("moved", which, count, inbound, now)
        self.dialogues[which].moved(count, inbound, now)
        self._state(self.dialogues[which])

    def received(self, which: int, thread: int, now: int, count: int, data: bytes, cuts: str = "-") -> None:
        self._did("received", which, thread, now, count, cuts, shown(data))
        self.dialogues[which].received(self.threads[thread], Bytes(data, cuts), count, now)
        self._state(self.dialogues[which], self.threads[thread])

    def plan(self, which: int, dialogue: int, thread: int, now: int, data: bytes, cuts: str = "-") -> bytes:
        """Returns what would go over the wire."""
        self._did("plan", which, dialogue, thread, now, cuts, shown(data))
        plan = self.dialogues[dialogue].plan(self.threads[thread], Bytes(data, cuts), now)
        self.plans[which] = self.dialogues[dialogue], plan
        wire = laid_out(plan.edits, data)
        edits = "".join(f" {edit.at} {edit.drop} {shown(edit.insert)}" for edit in plan.edits)
        self.lines.append(f"plan {int(plan.settled)}{edits} wire {shown(wire)}")
        self._state(self.dialogues[dialogue], self.threads[thread])
        return wire

    def untouched(self, which: int) -> None:
        self._did("untouched", which)
        dialogue, plan = self.plans.pop(which)
        dialogue.untouched(plan)
        self._state(dialogue)

    def sent(self, which: int, result: int, now: int) -> int:
        self._did("sent", which, result, now)
        dialogue, plan = self.plans.pop(which)
        told = result
        if not (plan.settled and dialogue.side is not Side.SERVER):  # hands off: nobody asks
            told = dialogue.sent(plan, result, now)
        self.lines.append(f"told {told}")
        self._state(dialogue, plan.thread)
        return told

    def end(self) -> None:
        self._did("end")
        self.lines.append("end")

    # -- trace context by itself

    def extract(self, raw: bytes) -> None:
        self._did("extract", shown(raw))
        head = head_of(raw)
        if head is None:
            self.lines.append("no head")
            return
        inbound = self.propagation.extract(head.headers)
        span = self.binder.span(inbound.parent, inbound)
        kept = inbound.traceparent if len(inbound.traceparent) <= _KEPT_TRACEPARENT else b""
        word = {None: 0, False: 1, True: 2}[inbound.sampled]
        forward = b"".join(name + b": " + value + b"\0" for name, value in inbound.forward)
        self.lines.append(
            f"inbound {int(inbound.parent is not None)} {word} {int(inbound.deferred)} {int(inbound.debug)} "
            f"{shown(kept)}{shown(forward)}{_context(inbound.parent) if inbound.parent else ''}{_context(span)}"
        )

    def carried(self, raw: bytes, call: bytes) -> None:
        """What a call gets whose cause brought the one head, and that sends the other."""
        self._did("lines", shown(raw), shown(call))
        head, sends = head_of(raw), head_of(call)
        if head is None or sends is None:
            self.lines.append("no head")
            return
        inbound = self.propagation.extract(head.headers)
        span = self.binder.span(inbound.parent, inbound)
        child = self.binder.span(span)
        names = {name for name, _ in sends.headers} | sends.beyond
        line = f"lines {shown(self._lines(child, span, inbound, names, sends))}"
        line += shown(self._lines(child, None, None, names, sends))
        self.lines.append(line)

    def _lines(
        self, child: SpanContext, span: SpanContext | None, inbound: Inbound | None, names: set[bytes], sends: Head
    ) -> bytes:
        return self.propagation.lines(child, span.span_id if span else None, inbound, names, sends.newline)

    def edits(self, edits: list[Edit], data: bytes, cuts: str) -> None:
        texts = " ".join(f"{edit.at} {edit.drop} {shown(edit.insert)}" for edit in edits)
        self._did("edits", len(edits), *([texts] if edits else []), cuts, shown(data))
        wire = laid_out(edits, data)
        line = f"wire {shown(wire)}"
        for result in range(1, len(wire) + 1):
            taken = accepted(edits, result)
            line += f" {taken.program} {-1 if taken.last is None else taken.last} "
            if taken.rest is not None:
                line += f"{int(taken.rest.drop > 0)} {shown(taken.rest.insert)}"
        self.lines.append(line)


def laid_out(edits: list[Edit], data: bytes) -> bytes:
    return b"".join(
        piece if isinstance(piece, bytes) else data[piece[0] : sum(piece)] for piece in pieces(edits, len(data))
    )


def head_of(raw: bytes) -> Head | None:
    events = RequestScanner().feed(raw)
    return events[0] if events and isinstance(events[0], Head) else None


def _whose(request: Request | None) -> str:
    return shown(request.span.span_id) if request else "none"


def _context(context: SpanContext) -> str:
    return f"{shown(context.trace_id)}{shown(context.span_id)} {context.flags} {shown(context.trace_state.encode())}"
