"""Which incoming request caused this outgoing one? The rules of binding, and nothing else. This file does no I/O.

What is proven, in the order it is asked:

0. Where a language runtime says which task is running (an engine's adapter knows it), its word alone counts: the
   request it names is the cause while it is open; for no request, or for one that was answered, the call stays unbound.
   Said of a connection, it holds for the next request there; of a thread, until it says otherwise; of a call, for that.
1. A thread that read a request's last head byte, or any of its body, works for that request until the response ends.
2. Reading the response to a call made for a request puts the thread that serves the request back to work on it.
3. A thread that serves several requests at once (an event loop) tells nothing by itself: the request touched last is
   the cause only where every other one is known to wait for a call of its own. Where it was a response that was read
   last, there must also be a connection to spare: else the one just freed may be given to a call that was queued. And
   once a loop has made two calls and read nothing between them, its requests do several things at once, or go on by
   the clock: then there must be no other request at all.
4. Where the runtime moves tasks between threads (a Go program) a thread tells nothing at all: the cause is known only
   where the whole process serves exactly one request, and was never seen to make calls that no request waits for. Where
   that depends on the program (Java), thread and process have to agree until several requests were answered by the
   threads that had read them, and again, for good, once a thread that reads requests has answered another one's.
5. What a loop does while it serves nothing is its own errand, and never becomes a request's, even when it is repeated
   while requests are served.
6. Where a client has gone before its answer was at its end, the program may still work for it, for a minute at most:
   of requests that begin until then rules 3 and 4 prove nothing. But a program that gives up its call in that moment (a
   proxy) is done with it.
7. A forked process works for the request its parent was serving. A new thread does so for its first call, if its
   process has served no other request since: else it may be a pool's, and have been given the other's task.

Everything else stays unbound: a wrong parent is worse than none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from rbinder.binder.context import SpanContext
from rbinder.binder.propagation import Inbound

Errand = tuple[object, bytes, bytes]  # peer, method, path: what a call is about, without its query
Task = int  # a request by its span id
TASK_NONE = 0  # known: for no request
TASK_UNKNOWN = (1 << 64) - 1  # nobody says

_MOST_ERRANDS = 256
_TRIAL = 8  # answers
_LINGERS = 60 * 10**9  # ns: servers wait as long by default (nginx's proxy_read_timeout)
_SAME_MOMENT = 10 * 10**6  # ns: within one turn of a loop
_TO_SPARE = 2  # connections to a peer that wait: the one about to be used, and another that nobody queues for


class Request:
    """An incoming request being served: a SERVER span in the making."""

    __slots__ = (
        *("began", "connection", "dropped_at", "home", "inbound", "lost_at", "lost_in", "open", "span"),
        "waiting",
    )

    def __init__(self, span: SpanContext, inbound: Inbound, connection: int, began: int = 0) -> None:
        self.span = span
        self.inbound = inbound
        self.connection = connection
        self.began = began  # CLOCK_MONOTONIC ns, as are other times
        self.dropped_at = -_SAME_MOMENT  # the program has given up a call that it made for it
        self.lost_in: Group | None = None  # its client has gone before the answer's end; in which process, and when
        self.lost_at = 0
        self.open = True  # until its response ends
        self.waiting = 0  # calls it made whose responses have not ended
        self.home: Thread | None = None  # the thread that serves it

    @property
    def task(self) -> Task:
        """Its name for runtimes: made of its span id, for ever the same."""
        return int.from_bytes(self.span.span_id, "little")


class Group:
    """The threads of one process, as far as binding is concerned.

    `migrates`: the runtime moves tasks between threads. `begun` counts the requests there have been. `spare` counts by
    peer the connections that wait for their next call. `on_trial`: it isn't known yet whether threads tell anything.
    """

    __slots__ = (
        *("_hands_over", "_doubted_before", "_trial", "acts_alone", "begun", "doubted_until", "migrates"),
        *("on_trial", "requests", "spare"),
    )

    def __init__(self, migrates: bool = False) -> None:
        self.migrates = migrates
        self.on_trial = False
        self._trial = 0  # answers that are still wanted of threads that have read the request
        self._hands_over: Callable[[], bool] | None = None
        self.requests: list[Request] = []
        self.begun = 0
        self.acts_alone = False
        self.doubted_until = self._doubted_before = 0  # a minute after a client has gone, and after one had before it
        self.spare: Counter[object] = Counter()

    def try_threads(self, hands_over: Callable[[], bool]) -> None:
        """A runtime in which a thread may serve a request to its end, or hand it over: it shows. `hands_over`: whether
        something else speaks against the threads; asked once, when they have stood the trial."""
        self.on_trial, self._trial, self._hands_over = True, _TRIAL, hands_over

    def answered_by(self, thread: Thread, request: Request) -> None:
        """A response begins."""
        if self._hands_over is None:
            return
        if request.home is not thread:
            if thread.reads:
                self.on_trial, self._hands_over = True, None
        elif self._trial:
            self._trial -= 1
            if self._trial == 0:
                self.on_trial = self._hands_over()

    def lost(self, request: Request, now: int) -> None:
        """The request's client has gone, and its answer wasn't at its end."""
        if now - request.dropped_at >= _SAME_MOMENT:
            request.lost_in, request.lost_at = self, now
            self._doubted_before, self.doubted_until = self.doubted_until, now + _LINGERS

    def settle(self, request: Request) -> None:
        """The program is done with a request whose client has gone."""
        if self.doubted_until == request.lost_at + _LINGERS:
            self.doubted_until = self._doubted_before
        request.lost_in = None

    def doubts(self, request: Request) -> bool:
        """Whether what seems to be done for it may be done for one whose client has gone."""
        return request.began < self.doubted_until

    def sole_candidate(self) -> Request | None:
        """The only open request. (That all others wait would prove nothing: a task may have several calls to make.)"""
        if len(self.requests) != 1 or self.acts_alone or self.doubts(self.requests[0]):
            return None
        return self.requests[0]


class Thread:
    """What one thread is known to work for."""

    __slots__ = (
        "_acted",
        "_answered",
        "_borrowed",
        "_borrowed_at",
        "_current",
        "_errands",
        "asked",
        "group",
        "interleaves",
        "reads",
        "serving",
        "strays",
        "task",
        "told",
    )

    def __init__(self, group: Group) -> None:
        self.group = group
        self.serving: list[Request] = []
        self.interleaves = False  # it has served several connections at once
        self.reads = False  # it has read requests
        self.strays = False  # it has made calls that nothing it read gave rise to
        self._acted = False  # it has made a call, and read nothing since
        self._current: Request | None = None
        self._answered = False  # it was by a response that the current request became so
        self._borrowed: Request | None = None
        self._borrowed_at = -1  # what the group's `begun` was then; -1: a process of its own, where it doesn't matter
        self._errands: set[Errand] = set()
        self.told = False  # its runtime says of each call whom it is for; what it says nothing of is for nobody
        self.task: Task = TASK_UNKNOWN  # what it works for by its runtime's word
        self.asked: Task = TASK_UNKNOWN  # the same, for the call that is being planned

    def begin(self, request: Request) -> None:
        """A request's head has been read here."""
        self.group.requests.append(request)
        self.group.begun += 1
        self.reads = True
        self._adopt(request)

    def touch(self, request: Request) -> None:
        """More of the request's body has been read here: whoever reads it serves it."""
        if request.open:
            if request.home is not self:
                if request.home is not None:
                    request.home.forget(request)
                self._adopt(request)
            self._current, self._answered = request, False

    def listens(self) -> None:
        """Something has been read here."""
        self._acted = False

    def acts(self) -> None:
        """A call has been made here, or connected for, in a process that serves."""
        self.strays = self.strays or self._acted
        self._acted = self.group.begun > 0

    def excludes(self, other: Request) -> bool:
        """Whether a call that is made here can't be this other request's, which is open."""
        return other.waiting > 0 and not self.strays

    def watches(self, request: Request) -> None:
        """It has seen the request's client go while it serves the request: it is a loop."""
        if request.home is self:
            self.interleaves = True

    def resume(self, request: Request | None) -> None:
        """A response to a call made for `request` (None: for nobody known) has been read here."""
        if request is None:
            if self.interleaves:
                self._current = None
        elif request.open and request.home is self:
            self._current, self._answered = request, True

    def _adopt(self, request: Request) -> None:
        home, request.home = request.home, self
        if home is not None and home.group is not self.group and request in home.group.requests:
            home.group.requests.remove(request)  # a forked process goes on with it
            self.group.requests.append(request)
        self._borrowed = None
        if any(other.connection != request.connection for other in self.serving):
            self.interleaves = True
        self.serving.append(request)
        if len(self.serving) == 1 or self.interleaves:
            self._current, self._answered = request, False

    def forget(self, request: Request) -> None:
        """The request is over, or is served elsewhere now."""
        if request in self.serving:
            self.serving.remove(request)
        if self._current is request:
            # pipelined requests are answered in their order: the next one's turn has come
            remaining = self.serving
            same = all(other.connection == request.connection for other in remaining)
            self._current = remaining[0] if remaining and same else None

    def inherit(self, parent: Thread) -> None:
        """This thread, or forked process, was started by `parent`."""
        request = parent._current
        if request is None or not request.open or parent.cause(None) is not request:
            return
        if self.group is not parent.group:
            self._borrowed = request
        elif self.group.requests == [request]:
            self._borrowed, self._borrowed_at = request, self.group.begun

    def replaced(self, group: Group) -> Thread:
        """By the only thread of another program (exec(2)), which works for what this process was forked for."""
        thread = Thread(group)
        thread._borrowed, thread._borrowed_at = self._borrowed, self._borrowed_at
        return thread

    def cause(self, errand: Errand | None) -> Request | None:
        """The request on whose behalf this thread acts now, where that is proven.

        `errand` tells what the call is about, None: not known yet (a connect).
        """
        if self.has_word:
            return self.named(self.asked if self.asked != TASK_UNKNOWN else self.task)
        if self.group.migrates:
            return self.group.sole_candidate()
        found = self._by_thread(errand)
        return found if not self.group.on_trial or found is self.group.sole_candidate() else None

    def _by_thread(self, errand: Errand | None) -> Request | None:
        current = self._current
        if current is None or not current.open:
            return self._borrowed_cause()
        if self.interleaves and (errand in self._errands or self.group.doubts(current)):
            return None
        others = [other for other in self.serving if other is not current]
        if not all(self.excludes(other) for other in others):
            return None
        if others and self._answered and errand is not None and self.group.spare[errand[0]] < _TO_SPARE:
            return None
        return current

    @property
    def has_word(self) -> bool:
        """Whether the runtime's word alone counts here: rule 0."""
        return self.told or not self.task == self.asked == TASK_UNKNOWN

    def named(self, task: Task) -> Request | None:
        """The open request that goes by this name, in this process or borrowed from the one it was forked by."""
        if task in (TASK_NONE, TASK_UNKNOWN):
            return None
        candidates = [self._borrowed] if self._borrowed is not None else []
        for request in (*candidates, *self.group.requests):
            if request.task == task:
                return request if request.open else None
        return None

    def _borrowed_cause(self) -> Request | None:
        request = self._borrowed
        if request is None or not request.open:
            return None
        return request if self._borrowed_at in (-1, self.group.begun) else None

    def called(self, errand: Errand) -> None:
        """A call about `errand` has been made here."""
        if not self.serving and self._borrowed is None:
            if len(self._errands) < _MOST_ERRANDS:
                self._errands.add(errand)
        elif self._borrowed_at >= 0:
            self._borrowed = None  # the first call of a new thread has been made
        if (self.group.migrates or self.group.on_trial) and not self.group.requests:
            self.group.acts_alone = True


def dropped(request: Request, now: int) -> None:
    """The program itself has given up a call that it made for the request."""
    request.dropped_at = now
    if request.lost_in is not None and now - request.lost_at < _SAME_MOMENT:
        request.lost_in.settle(request)


def finish(request: Request, group: Group) -> None:
    """The response has ended, or never will: nothing works for this request any more."""
    request.open = False
    if request.waiting:  # with a call under way: some are made that nobody waits for, so others may come still later
        group.acts_alone = True
    if request in group.requests:
        group.requests.remove(request)
    if request.home is not None:
        request.home.forget(request)
