"""One connection's conversation: which side we are, where messages begin and end, what is recorded of them.

Bytes come in through `received` and `plan`/`sent`, records go out through `emit`. This file does no I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from rbinder.binder.binder import Binder, Turn, errand, finish
from rbinder.binder.edits import Accepted, Edit, accepted
from rbinder.binder.rules import Request, Thread
from rbinder.http.heads import reduce_head
from rbinder.http.scanner import End, Event, Head, Opaque, RequestScanner, ResponseScanner
from rbinder.records import (
    HEAD_LIMIT,
    ExchangeFailed,
    Kind,
    MessageEnd,
    Payload,
    RequestHead,
    ResponseHead,
    Side,
)

_WINDOW = 1 << 14  # bytes looked at at once; a counted body is not looked at
_OPTIMISTIC = 1 << 14  # bytes: a whole response up to this size is taken as sent when it is about to be
_NO_PARENT = bytes(8)

Emit = Callable[["Dialogue", Kind, int, bytes, Payload], None]
Found = list[tuple[int, Event]]  # (offset of the window the event's offsets refer to, event)


class Source(Protocol):
    """The bytes of one call's buffers."""

    total: int

    def read(self, offset: int, size: int) -> bytes: ...


@dataclass(slots=True, eq=False)
class Plan:
    """What is to be done with a call that sends.

    `edits` change the bytes; with `settled` the call's result need not be known (no exit stop is asked for).
    """

    source: Source
    thread: Thread
    scanned: RequestScanner | ResponseScanner
    found: Found
    started: int
    heads: list[Head] = field(default_factory=list)  # that end in these bytes, and whose `turns`
    edits: list[Edit] = field(default_factory=list)
    owners: list[Turn] = field(default_factory=list)  # whose each edit is
    turns: list[Turn] = field(default_factory=list)
    settled: bool = False
    requests: int = 0  # SERVER: how many had been read when this was planned


class Dialogue:
    """The state of a connection. `side` is None until the first message shows it."""

    __slots__ = (
        "_begun",
        "_binder",
        "_cut",
        "_emit",
        "_requests",
        "_responses",
        "_seen",
        "_sending",
        "_turns",
        "connector",
        "fresh",
        "identity",
        "known_start",
        "opaque",
        "peer",
        "side",
        "tag",
    )

    def __init__(self, binder: Binder, emit: Emit, identity: int, known_start: bool) -> None:
        self._binder = binder
        self._emit = emit
        self._requests = RequestScanner()
        self._responses = ResponseScanner()
        self._turns: deque[Turn] = deque()
        self._cut: tuple[Turn, Edit] | None = None
        self._begun = 0
        self._seen = 0  # requests read
        self._sending: Plan | None = None  # a call that sends is under way
        self.identity = identity
        self.known_start = known_start  # no byte went by unseen: inserting is safe
        self.opaque = False  # hands off: not HTTP/1, or lost track
        self.side: Side | None = None
        self.peer: object = None
        self.connector: Thread | None = None
        self.tag: Request | None = None
        self.fresh = True

    # -- the connection itself

    def connecting(self, thread: Thread) -> None:
        """A thread connects: what it works for owns the first request."""
        self._untag()
        self.connector = thread
        self.tag = thread.cause(None)
        if self.tag is not None:
            self.tag.waiting += 1

    def _untag(self) -> None:
        if self.tag is not None:
            self.tag.waiting -= 1
            self.tag = None

    @property
    def settled(self) -> bool:
        """Hands off, and nothing of ours is still to be sent: the connection need not be looked at."""
        return self.opaque and self._cut is None and self._sending is None

    def give_up(self, error_type: str = "_OTHER", now: int = 0) -> None:
        """Hands off from now on; what is unfinished fails."""
        self.fail(error_type, now)
        self.opaque = True

    def fail(self, error_type: str, now: int) -> None:
        """There will be no (more) response to what is unanswered."""
        self._untag()
        while self._turns:
            turn = self._turns.popleft()
            if turn.recorded and self.side is not None:
                self._record(Kind.EXCHANGE_FAILED, now, turn, ExchangeFailed(self.side, error_type))
            self._over(turn)

    @property
    def unanswered(self) -> bool:
        """Whether a request waits for (the rest of) its response."""
        return bool(self._turns)

    @property
    def answering(self) -> bool:
        """Whether part of the awaited response has been seen."""
        return bool(self._turns) and self._turns[0].responded

    def eof(self, inbound: bool, now: int) -> None:
        """One direction has ended: a response without a length ends with it."""
        if self.side is None or self.opaque:
            return
        if inbound == (self.side is Side.CLIENT):
            self._response_events([(0, event) for event in self._responses.eof()], now)

    # -- receiving

    def received(self, thread: Thread, source: Source, count: int, now: int) -> None:
        """`count` bytes were read from the connection."""
        if self._sending is not None and self.side is not Side.SERVER:
            self._answered_early(self._sending, now)
        if self.opaque:
            return
        if self.side is Side.CLIENT:
            if self._turns:
                thread.resume(self._turns[0].request)
            self._response_events(_scan(self._responses, source, count), now)
            if self._responses.opaque:
                self.give_up(now=now)
            return
        if self._requests.idle:
            self._begun = now
        elif self._turns and (request := self._turns[-1].request):
            thread.touch(request)
        found = _scan(self._requests, source, count)
        for _, event in found:
            if isinstance(event, Head):
                self._incoming(thread, event, now)
            elif isinstance(event, End) and self._turns and event.body_size:
                self._message_end(self._turns[-1], False, event.body_size, now)
        if self._requests.opaque and not self._turns:
            self.opaque = True

    def _answered_early(self, plan: Plan, now: int) -> None:
        """Another thread reads an answer before the call that sent the request has returned: it must be on its way."""
        for head, turn in zip(plan.heads, plan.turns, strict=True):
            self._called(plan.thread, turn, head, now)

    def _incoming(self, thread: Thread, head: Head, now: int) -> None:
        self.side = Side.SERVER
        turn = self._binder.incoming(thread, head, self.identity, self._begun)
        self._begun = now
        self._turns.append(turn)
        self._responses.expect(head.method)
        self._seen += 1
        self._record_request(turn, head, now)

    # -- sending

    def plan(self, thread: Thread, source: Source, now: int) -> Plan:
        """A call is about to send `source`."""
        if self.side is Side.SERVER:
            return self._plan_response(thread, source, now)
        trial = self._requests.copy()
        plan = Plan(source, thread, trial, [], now)
        if not self.opaque:
            plan.found = _scan(trial, source, source.total)
        if self._cut is None and (self.opaque or (trial.opaque and self.side is None)):
            self.opaque = plan.settled = True
            return plan
        self._sending = plan
        if self._cut is not None:  # the rest of an edit comes before anything else
            plan.owners.append(self._cut[0])
            plan.edits.append(self._cut[1])
        for offset, event in plan.found:
            if isinstance(event, Head):
                self._plan_call(plan, offset, event)
        return plan

    def _plan_call(self, plan: Plan, offset: int, head: Head) -> None:
        plan.heads.append(head)
        if self._cut is not None and not plan.turns:
            plan.turns.append(self._cut[0])
            return
        about = errand(self.peer, head)
        turn = self._binder.outgoing(
            self._cause(plan.thread, about, first=not plan.turns), plan.thread.group, head, plan.started
        )
        if not self.known_start:
            turn.edits.clear()
        for edit in turn.edits:
            plan.owners.append(turn)
            plan.edits.append(Edit(edit.at + offset, edit.insert, edit.drop))
        plan.turns.append(turn)

    def _cause(self, thread: Thread, about: tuple[object, bytes, bytes], first: bool) -> Request | None:
        """Rule 2: the first request of a connection belongs to what connected it; later ones to the thread's work."""
        if self.fresh and first and self.connector is not None:
            if self.tag is not None:
                return self.tag if self.tag.open and self._agrees(thread, self.tag) else None
            if thread.interleaves and self.connector is thread:
                return None
        return thread.cause(about)

    def _agrees(self, thread: Thread, tag: Request) -> bool:
        """On an event loop a connection may be handed to another request: only if nobody else waits for one."""
        if not thread.interleaves:
            return True
        return all(other is tag or other.waiting for other in thread.serving)

    def _plan_response(self, thread: Thread, source: Source, now: int) -> Plan:
        trial = self._responses.copy()
        whole = trial.idle and len(self._turns) == 1 and source.total <= _OPTIMISTIC
        found = _scan(trial, source, source.total)
        ends = (
            whole and bool(found) and isinstance(found[-1][1], End) and found[-1][0] + found[-1][1].at == source.total
        )
        return Plan(source, thread, trial, found, now, settled=ends, requests=self._seen)

    def untouched(self, plan: Plan) -> None:
        """The plan's edits can't be made, and the call goes through as it is."""
        self._sending = None
        self.give_up(now=plan.started)

    def sent(self, plan: Plan, result: int, now: int) -> int:
        """The call returned `result` (≥ 0: bytes; < 0: a negated errno). Returns what the program is told."""
        if isinstance(plan.scanned, ResponseScanner):
            self._responses_sent(plan, plan.scanned, result, now)
            return result
        self._sending = None
        if result < 0:
            return result
        taken = accepted(plan.edits, result)
        self._keep_cut(plan, taken)
        if not self.opaque:
            self._requests_sent(plan, plan.scanned, taken.program, now)
        if taken.program == 0 and result > 0:
            return -11  # EAGAIN: some of ours went out and none of the program's; 0 would mean a closed connection
        return taken.program

    def _keep_cut(self, plan: Plan, taken: Accepted) -> None:
        if taken.cut is not None and (taken.program < plan.source.total):
            drop = len(taken.rest) if plan.edits[taken.cut].drop else 0
            self._cut = (plan.owners[taken.cut], Edit(0, taken.rest, drop))
        elif taken.program > 0:
            self._cut = None

    def _requests_sent(self, plan: Plan, scanned: RequestScanner, count: int, now: int) -> None:
        if count == plan.source.total:
            self._requests, found = scanned, plan.found
        else:
            found = _scan(self._requests, plan.source, count)
        turns = iter(plan.turns)
        for _, event in found:
            if isinstance(event, Head):
                turn = next(turns, None)
                if turn is not None:
                    self._called(plan.thread, turn, event, now)
            elif isinstance(event, End) and self._turns and event.body_size:
                self._message_end(self._turns[-1], False, event.body_size, now)
        if self._requests.opaque and not self._turns:
            self.opaque = True

    def _called(self, thread: Thread, turn: Turn, head: Head, now: int) -> None:
        if turn.called:
            return
        turn.called = True
        self.side = Side.CLIENT
        self._untag()
        self.fresh = False
        thread.called(errand(self.peer, head))
        if turn.request is not None:
            turn.request.waiting += 1
        self._turns.append(turn)
        self._responses.expect(head.method)
        self._record_request(turn, head, now)

    def _responses_sent(self, plan: Plan, scanned: ResponseScanner, result: int, now: int) -> None:
        if result < 0 or self.opaque:
            return
        if result == plan.source.total and plan.requests == self._seen:  # no request was read meanwhile
            self._responses, found = scanned, plan.found
        else:
            found = _scan(self._responses, plan.source, result)
        self._response_events(found, now)
        if self._responses.opaque:
            self.give_up(now=now)

    def moved(self, count: int, inbound: bool, now: int) -> None:
        """`count` bytes went by without a buffer (sendfile(2), splice(2)): fine within a counted body."""
        if self.opaque or count <= 0 or self.side is None:
            return
        requests = inbound == (self.side is Side.SERVER)
        scanner = self._requests if requests else self._responses
        if scanner.skippable < count:
            self.give_up(now=now)
            return
        found = scanner.skip(count)
        if not requests:
            self._response_events([(0, event) for event in found], now)

    # -- responses, either way

    def _response_events(self, found: Found, now: int) -> None:
        for _, event in found:
            if isinstance(event, Opaque):  # another protocol from here, or nonsense
                self._requests.give_up()
                self.opaque = True
            elif not self._turns:
                return
            elif isinstance(event, End):
                self._answered(self._turns[0], event.body_size, now)
            elif not event.interim:
                self._response_head(self._turns[0], event, now)

    def _response_head(self, turn: Turn, head: Head, now: int) -> None:
        turn.responded = True
        if self._requests.opaque and not 200 <= head.status < 300:
            self._requests.resume()  # a CONNECT that was refused: requests go on
        self._record_response(turn, head, now)

    def _answered(self, turn: Turn, body_size: int, now: int) -> None:
        self._message_end(turn, True, body_size, now)
        self._turns.popleft()
        self._over(turn)

    def _over(self, turn: Turn) -> None:
        request = turn.request
        if request is None:
            return
        if self.side is Side.SERVER:
            if request.home is not None:
                finish(request, request.home.group)
        else:
            request.waiting -= 1

    # -- records

    def _record(self, kind: Kind, now: int, turn: Turn, payload: Payload) -> None:
        if turn.span is not None:
            self._emit(self, kind, now, turn.span.span_id, payload)

    def _record_request(self, turn: Turn, head: Head, now: int) -> None:
        if turn.span is None or not turn.recorded or self.side is None:
            return
        parent, span = turn.parent, turn.span
        payload = RequestHead(
            self.side,
            span.trace_id,
            parent.span_id if parent else _NO_PARENT,
            self.side is Side.SERVER and parent is not None,
            span.flags,
            turn.started,
            span.trace_state,
            reduce_head(head.raw, HEAD_LIMIT),
        )
        self._record(Kind.REQUEST_HEAD, now, turn, payload)

    def _record_response(self, turn: Turn, head: Head, now: int) -> None:
        if turn.recorded and self.side is not None:
            payload = ResponseHead(self.side, reduce_head(head.raw, HEAD_LIMIT))
            self._record(Kind.RESPONSE_HEAD, now, turn, payload)

    def _message_end(self, turn: Turn, is_response: bool, body_size: int, now: int) -> None:
        if turn.recorded and self.side is not None:
            self._record(Kind.MESSAGE_END, now, turn, MessageEnd(self.side, is_response, body_size))


def _scan(scanner: RequestScanner | ResponseScanner, source: Source, total: int) -> Found:
    """Feed a scanner the first `total` bytes, looking only at those it has to see."""
    found: Found = []
    offset = 0
    while offset < total and not scanner.opaque:
        size = min(scanner.skippable, total - offset)
        if size > 0:
            events = scanner.skip(size)
        else:
            data = source.read(offset, min(_WINDOW, total - offset))
            if not data:
                scanner.give_up()
                break
            size = len(data)
            events = scanner.feed(data)
        found.extend((offset, event) for event in events)
        offset += size
    return found
