"""One connection's conversation: which side we are, where messages begin and end, what is recorded of them.

Bytes come in through `received` and `plan`/`sent`, records go out through `emit`. This file does no I/O.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable

from rbinder.binder.binder import Binder, Turn, dropped, errand, finish
from rbinder.binder.edits import Accepted, Edit, accepted
from rbinder.binder.plans import Found, Plan, Source, scan
from rbinder.binder.reports import request_head, response_head
from rbinder.binder.rules import TASK_UNKNOWN, Group, Request, Task, Thread
from rbinder.http.scanner import End, Head, Opaque, RequestScanner, ResponseScanner
from rbinder.records import ExchangeFailed, Kind, MessageEnd, Payload, Side

_OPTIMISTIC = 1 << 14  # bytes: a whole response up to this size is taken as sent when it is about to be

Emit = Callable[["Dialogue", Kind, int, bytes, Payload], None]


class Dialogue:
    """The state of a connection.

    `side` is None until the first byte shows it: requests travel in the direction that begins. Role and content agree
    then, whoever connected.
    """

    __slots__ = (
        "_begun",
        "_binder",
        "_deserted",
        "_emit",
        "_pending",
        "_requests",
        "_responses",
        "_rest",
        "_resting",
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
        "task",
    )

    def __init__(self, binder: Binder, emit: Emit, identity: int, known_start: bool) -> None:
        self._binder = binder
        self._emit = emit
        self._requests = RequestScanner()
        self._responses = ResponseScanner()
        self._turns: deque[Turn] = deque()
        self._pending: Turn | None = None  # whose head has been edited, but not been sent to its end
        self._rest: Edit | None = None  # what of that edit is still to be sent, before anything else
        self._begun = 0
        self._resting: Group | None = None  # CLIENT: who may use it for the next call
        self._seen = 0  # requests read
        self._sending: Plan | None = None  # a call that sends is under way
        self._deserted = False  # SERVER: the client sends no more
        self.identity = identity
        self.known_start = known_start  # no byte went by unseen: inserting is safe
        self.opaque = False  # hands off: not HTTP/1, or lost track
        self.side: Side | None = None
        self.peer: object = None
        self.connector: Thread | None = None
        self.tag: Request | None = None
        self.fresh = True
        self.task: Task = TASK_UNKNOWN  # whom the next request is for, by the runtime's word

    # -- the connection itself

    def connecting(self, thread: Thread) -> None:
        """A thread connects: what it works for owns the first request."""
        self._untag()
        if self.connector is not thread:  # else it asks again how it went
            thread.acts()
        self.connector = thread
        self.tag = None if thread.group.migrates else thread.cause(None)
        if self.tag is not None:
            self.tag.waiting += 1

    def starts(self, now: int) -> None:
        """The connection is new: no byte has gone over it. (A socket that is connected again is left alone.)"""
        if self.side is None:
            self.known_start = True
        else:
            self.give_up(now=now)

    def _rests(self, group: Group | None) -> None:
        """Whether it waits for its next call, and in which process."""
        if self._resting is not None:
            self._resting.spare[self.peer] -= 1
        self._resting = group
        if group is not None:
            group.spare[self.peer] += 1

    def _untag(self) -> None:
        if self.tag is not None:
            self.tag.waiting -= 1
            self.tag = None

    @property
    def settled(self) -> bool:
        """Hands off, and nothing of ours is still to be sent: the connection need not be looked at."""
        return self.opaque and self._rest is None and self._sending is None

    def _let_go(self) -> None:
        """It isn't HTTP/1, or not any more."""
        self._untag()
        self.opaque = True

    def give_up(self, error_type: str = "_OTHER", now: int = 0) -> None:
        """Hands off from now on; what is unfinished fails."""
        self.fail(error_type, now)
        self.opaque = True

    def ended(self, thread: Thread, now: int) -> None:
        """The peer sends no more."""
        thread.listens()
        self.eof(inbound=True, now=now)
        if self.side is Side.CLIENT and self.unanswered:
            self.fail("incomplete_response" if self.answering else "connection_closed", now)
        self._desert(thread)

    def broken(self, thread: Thread, error_type: str, reading: bool, now: int) -> None:
        """A call has failed, that read or that sent, and so will all others."""
        if reading:
            thread.listens()
            self._desert(thread)
            self._lose(now)
        self.fail(error_type, now)

    def closing(self, now: int) -> None:
        """The program is about to have closed it: what was called for has been given up."""
        if self.side is not Side.SERVER:
            for request in (self.tag, *(turn.request for turn in self._turns)):
                if request is not None:
                    dropped(request, now)

    def closed(self, now: int) -> None:
        """The program has closed it."""
        if self.side is Side.SERVER and not self.opaque:
            self.eof(inbound=False, now=now)
        self._lose(now)
        gave_up = self.side is Side.CLIENT and not self.answering
        self.fail("timeout" if gave_up else "connection_closed", now)

    def _desert(self, thread: Thread) -> None:
        self._deserted = self.side is Side.SERVER
        if self._deserted and self._turns and self._requests.idle and (request := self._turns[0].request):
            thread.watches(request)

    def _lose(self, now: int) -> None:
        for turn in self._turns if self._deserted else ():
            if (request := turn.request) and request.home is not None:
                request.home.group.lost(request, now)

    def fail(self, error_type: str, now: int) -> None:
        """There will be no (more) response to what is unanswered, and no further call."""
        self._untag()
        self._rests(None)
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
        thread.listens()
        if self._sending is not None and self.side is not Side.SERVER:
            self._answered_early(self._sending, now)
        if self.opaque:
            return
        if self.side is None:
            self.side = Side.SERVER
        if self.side is Side.CLIENT:
            if self._turns:
                thread.resume(self._turns[0].request)
            self._response_events(scan(self._responses, source, count), now)
            if self._responses.opaque:
                self.give_up(now=now)
            elif not self._turns:
                self._rests(thread.group)
            return
        if self._requests.idle:
            self._begun = now
        elif self._turns and (request := self._turns[-1].request):
            thread.touch(request)
        for _, event in scan(self._requests, source, count):
            if isinstance(event, Head):
                self._incoming(thread, event, now)
            elif isinstance(event, End) and self._turns and event.body_size:
                self._message_end(self._turns[-1], False, event.body_size, now)
        if self._requests.opaque and not self._turns:
            self._let_go()

    def _answered_early(self, plan: Plan, now: int) -> None:
        """Another thread reads an answer before the call that sent the request has returned: it must be on its way."""
        self.side = Side.CLIENT
        for head, turn in zip(plan.heads, plan.turns, strict=True):
            self._called(plan.thread, turn, head, now)

    def _incoming(self, thread: Thread, head: Head, now: int) -> None:
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
            plan.found = scan(trial, source, source.total)
        if self._rest is not None and self._pending is not None:
            plan.insert(self._pending, self._rest.fitting(source.total))
        for offset, event in plan.found:
            if isinstance(event, Head):
                self._plan_call(plan, offset, event)
        if self._rest is None and (self.opaque or (trial.opaque and self.side is None and not plan.heads)):
            self._let_go()
            plan.settled = True
        else:
            self._sending = plan
        return plan

    def _plan_call(self, plan: Plan, offset: int, head: Head) -> None:
        plan.heads.append(head)
        if self._pending is not None and not plan.turns:
            plan.turns.append(self._pending)
            return
        about = errand(self.peer, head)
        cause = self._cause(plan.thread, about, first=not plan.turns)
        turn = self._binder.outgoing(cause, plan.thread.group, head, plan.started, offset)
        plan.turns.append(turn)
        if self.known_start:
            for edit in turn.edits:
                plan.insert(turn, edit)

    def _cause(self, thread: Thread, about: tuple[object, bytes, bytes], first: bool) -> Request | None:
        """Rule 0: the runtime's word. Rule 2: the first request of a connection belongs to what connected it; later
        ones to the thread's work."""
        if self.task != TASK_UNKNOWN and first:
            return thread.named(self.task)
        if thread.has_word or thread.group.migrates:
            return thread.cause(about)
        if self.fresh and first and self.connector is not None:
            if self.tag is not None:
                return self.tag if self.tag.open and self._agrees(thread, self.tag) else None
            if thread.interleaves and self.connector is thread:
                return None
        return thread.cause(about)

    def _agrees(self, thread: Thread, tag: Request) -> bool:
        """On an event loop a connection may be handed to another request: only if nobody else can wait for one."""
        if not thread.interleaves:
            return True
        if thread.group.doubts(tag):
            return False
        return all(other is tag or thread.excludes(other) for other in thread.serving)

    def _plan_response(self, thread: Thread, source: Source, now: int) -> Plan:
        if self._turns and self._responses.idle and (request := self._turns[0].request):
            thread.group.answered_by(thread, request)
        trial = self._responses.copy()
        whole = trial.idle and len(self._turns) == 1 and source.total <= _OPTIMISTIC
        found = scan(trial, source, source.total)
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
        if result <= 0:
            return result
        if self.side is None:
            self.side = Side.CLIENT
        taken = accepted(plan.edits, result)
        self._keep_rest(plan, taken)
        if not self.opaque:
            self._requests_sent(plan, plan.scanned, taken.program, now)
        # Some of ours went out and none of the program's: 0 would mean a closed connection.
        return taken.program or -errno.EAGAIN

    def _keep_rest(self, plan: Plan, taken: Accepted) -> None:
        rest = taken.rest
        whole = self._rest
        if whole is not None and whole.drop > plan.source.total:  # the call had no room for all that is replaced
            rest = whole.rest(taken.program)
        if taken.last is not None:
            self._pending = plan.owners[taken.last]
        self._rest = rest

    def _requests_sent(self, plan: Plan, scanned: RequestScanner, count: int, now: int) -> None:
        if count == plan.source.total:
            self._requests, found = scanned, plan.found
        else:
            found = scan(self._requests, plan.source, count)
        turns = iter(plan.turns)
        for _, event in found:
            if isinstance(event, Head):
                turn = next(turns, None)
                if turn is not None:
                    self._called(plan.thread, turn, event, now)
                    if turn is self._pending:
                        self._pending = None
            elif isinstance(event, End) and self._turns and event.body_size:
                self._message_end(self._turns[-1], False, event.body_size, now)
        if self._requests.opaque and not self._turns:
            self._let_go()

    def _called(self, thread: Thread, turn: Turn, head: Head, now: int) -> None:
        if turn.called:
            return
        turn.called = True
        if not self.fresh or self.connector is not thread:  # else it was connected for
            thread.acts()
        self._untag()
        self._rests(None)
        self.fresh = False
        self.task = TASK_UNKNOWN
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
            found = scan(self._responses, plan.source, result)
        self._response_events(found, now)
        if self._responses.opaque:
            self.give_up(now=now)

    def moved(self, count: int, inbound: bool, now: int) -> None:
        """`count` bytes went by without a buffer (sendfile(2), splice(2)): fine within a counted body."""
        if self.opaque or count <= 0:
            return
        requests = inbound == (self.side is Side.SERVER)
        scanner = self._requests if requests else self._responses
        if self.side is None or scanner.skippable < count:
            self.give_up(now=now)
            return
        found = [(0, event) for event in scanner.skip(count)]
        if not requests:
            self._response_events(found, now)
            return
        for _, event in found:
            if isinstance(event, End) and self._turns:
                self._message_end(self._turns[-1], False, event.body_size, now)

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
        if self._requests.opaque and len(self._turns) == 1 and not 200 <= head.status < 300:
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
        if turn.recorded and self.side is not None and (payload := request_head(turn, self.side, head)) is not None:
            self._record(Kind.REQUEST_HEAD, now, turn, payload)

    def _record_response(self, turn: Turn, head: Head, now: int) -> None:
        if turn.recorded and self.side is not None:
            self._record(Kind.RESPONSE_HEAD, now, turn, response_head(self.side, head))

    def _message_end(self, turn: Turn, is_response: bool, body_size: int, now: int) -> None:
        if turn.recorded and self.side is not None:
            self._record(Kind.MESSAGE_END, now, turn, MessageEnd(self.side, is_response, body_size))
