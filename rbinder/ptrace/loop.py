"""The ptrace engine's event loop: every stop of every tracee is dealt with and ended here.

    while there are tracees:  dispatch(next stop)

A tracee that vanished between two requests (ESRCH) is normal: its exit status follows.
"""

from __future__ import annotations

import os
import signal
import time

from rbinder.control import DOORBELL
from rbinder.ptrace import native
from rbinder.ptrace.arch import Calls
from rbinder.ptrace.calls import HANDLERS, Handler
from rbinder.ptrace.engine import Engine
from rbinder.ptrace.family import Family
from rbinder.ptrace.native import PTRACE_CONT, PTRACE_LISTEN, PTRACE_SYSCALL
from rbinder.ptrace.patience import Patience
from rbinder.ptrace.subscriptions import SUBSCRIPTIONS
from rbinder.ptrace.tracee import Tracee
from rbinder.records import Kind, ProcessExit, Record

_EVENTS = os.WNOHANG | os.WUNTRACED | native.WALL  # WUNTRACED: of children that nobody, or somebody else, traces
_TRAP, _CALL = signal.SIGTRAP, signal.SIGTRAP | 0x80  # PTRACE_O_TRACESYSGOOD
_STOPPING = frozenset((signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
_WAKING = frozenset((signal.SIGCHLD, DOORBELL))
_STEADY = 64  # stops without a pause between, after which it is asked whether the doorbell was rung
_LEFT, _PASSED = -1, -2  # kinds of stop beside the numbers of calls whose exit is awaited: an exit; an entry


class Observer:
    """What the loop tells whoever started it. The default does nothing."""

    def started(self) -> None:
        """The root process runs the command now."""

    def exited(self, status: int, remaining: int) -> None:
        """The root process has ended (wait status); this many tracees are left."""

    def stopped(self, signal_number: int) -> None:
        """The root process was stopped by this signal."""

    def arriving(self, signal_number: int, code: int, sender: int) -> bool:
        """The root process is about to get a signal; whether it shall."""
        return True

    def rung(self) -> None:
        """The doorbell was rung."""


class Loop:
    """Runs the tracees below `root` (a process this thread has seized) until the last one ends."""

    def __init__(self, engine: Engine, root: int, filtered: bool, observer: Observer, architecture: int) -> None:
        self._engine = engine
        self._root = root
        self._observer = observer
        self._architecture = architecture
        self._calls = Calls(engine.layout, architecture)
        self._resume = PTRACE_CONT if filtered else PTRACE_SYSCALL
        self._filtered = filtered
        self._handlers: dict[int, tuple[str, Handler]] = {}
        self._conditions: dict[int, tuple[tuple[tuple[int, int], ...], ...]] = {}
        for subscription in SUBSCRIPTIONS:
            number = engine.numbers.get(subscription.name)
            if number is not None:
                self._handlers[number] = (subscription.name, HANDLERS[subscription.name])
                if subscription.conditions:
                    self._conditions[number] = tuple(c.arguments for c in subscription.conditions)
        self._execs = {engine.numbers["execve"], engine.numbers["execveat"]}
        self.family = engine.family = Family(engine, root)
        engine.filtered = filtered
        self.root_stopped = False  # by job control
        self._patience = Patience(_EVENTS)
        self._last: int | None = None  # the kind of the last stop, where another may follow at once
        self._dispatched = 0

    def lose_filter(self) -> None:
        """The filter was refused: from now on every call stops."""
        self._filtered = self._engine.filtered = False
        self._resume = PTRACE_SYSCALL
        self._engine.say("a seccomp filter is refused here: every system call stops the program, which is much slower")

    # -- waiting

    def run(self) -> None:
        """Dispatch stops until no child is left. The waking signals must be blocked in this thread."""
        missed = self._engine.missed
        while True:
            while missed:
                self.dispatch(*missed.pop())
            try:
                tid, status = self._patience.next(self._last)
            except ChildProcessError:
                return
            self._last = None
            if tid:
                self.dispatch(tid, status)
                self._dispatched += 1
                if self._dispatched % _STEADY == 0:
                    self._glance()
            else:
                self._idle()

    def drain(self) -> None:
        """Dispatch what is there without waiting."""
        try:
            while (event := os.waitpid(-1, _EVENTS))[0]:
                self.dispatch(*event)
        except ChildProcessError:
            return

    def _idle(self) -> None:
        engine = self._engine
        if engine.sink.pending:
            engine.sink.flush()
        busy = engine.sink.pending or engine.failures.waiting
        if busy:
            info = signal.sigtimedwait(_WAKING, 0.1)
            engine.failures.settle(time.monotonic_ns())
        else:
            info = signal.sigwaitinfo(_WAKING)
        if info is not None and info.si_signo == DOORBELL:
            self._observer.rung()

    def _glance(self) -> None:
        """Tracees that are never idle don't keep us from what else is to be done."""
        engine = self._engine
        if signal.sigtimedwait((DOORBELL,), 0) is not None:
            self._observer.rung()
        if engine.failures.waiting:
            engine.failures.settle(time.monotonic_ns())

    # -- dispatching

    def dispatch(self, tid: int, status: int) -> None:
        """Deal with one wait status, and let the tracee go on."""
        tracee = self.family.tracees.get(tid)
        if not os.WIFSTOPPED(status):
            self._gone(tid, tracee, status)
            return
        stop, event = os.WSTOPSIG(status), status >> 16
        if tracee is None:
            if event:
                self.family.early[tid] = status
            else:
                self._untraced_stop(tid, stop)
            return
        self._engine.current = tracee
        try:
            self._stopped(tracee, stop, event)
        except ProcessLookupError:
            return  # killed meanwhile
        except PermissionError:  # not dumpable (prctl(2), PR_SET_DUMPABLE), and we have no CAP_SYS_PTRACE
            program = tracee.process.image.executable or "the program"
            self._engine.say(f"{program} can't be looked at (it has made itself undumpable): it runs untraced")
            self._go_on(tracee, stop, event)
        except Exception as error:  # fail open: whatever went wrong here, the program goes on
            self._engine.fault(error)
            self._go_on(tracee, stop, event)

    def _go_on(self, tracee: Tracee, stop: int, event: int) -> None:
        """From a stop that could not be dealt with."""
        tracee.finish = None
        self._go(tracee, self._resume, stop if not event and stop not in (_TRAP, _CALL) else 0)

    def _untraced_stop(self, tid: int, stop: int) -> None:
        """A child that was let go: one that made us its tracer (PTRACE_TRACEME) goes on; else it is job control's."""
        try:
            native.ptrace(PTRACE_CONT, tid, 0, 0 if stop == _TRAP else stop)
        except ProcessLookupError:
            if tid == self._root:
                self._observer.stopped(stop)

    def _stopped(self, tracee: Tracee, stop: int, event: int) -> None:
        if event == native.EVENT_SECCOMP:
            self._entry(tracee)
        elif stop == _CALL:
            self._call_stop(tracee)
        elif event == native.EVENT_STOP:
            self._group_stop(tracee, stop)
        elif event:
            self._event(tracee, event)
        else:
            self._signal(tracee, stop)

    def _go(self, tracee: Tracee, request: int, signal_number: int = 0) -> None:
        try:
            native.ptrace(request, tracee.tid, 0, signal_number)
        except ProcessLookupError:
            return  # killed meanwhile

    def _entry(self, tracee: Tracee) -> None:
        """The tracee is about to make a call that somebody subscribed to."""
        architecture, number, *arguments = self._calls.entry(tracee.tid)
        found = self._handlers.get(number) if architecture == self._architecture else None
        tracee.finish = None
        if found is not None:
            name, handler = found
            self._engine.stops[name] += 1
            if self._filtered or self._subscribed(number, arguments):
                handler(self._engine, tracee, tuple(arguments))
            if tracee.tid not in self.family.tracees:
                return  # let go by the handler
        elif self._is_exec(number, architecture) and self.family.let_go_for_exec(tracee, number, arguments):
            return
        self._last = number if tracee.finish is not None else _PASSED
        self._go(tracee, PTRACE_SYSCALL if tracee.finish is not None else self._resume)

    def _is_exec(self, number: int, architecture: int) -> bool:
        return number in self._execs and architecture == self._architecture

    def _subscribed(self, number: int, arguments: list[int]) -> bool:
        conditions = self._conditions.get(number)
        if conditions is None:
            return True
        return any(all(arguments[i] & 0xFFFFFFFF == value for i, value in wanted) for wanted in conditions)

    def _call_stop(self, tracee: Tracee) -> None:
        """A call's exit, or without a filter also its entry."""
        if tracee.finish is not None:
            self._engine.stops["exit"] += 1
            finish, tracee.finish = tracee.finish, None
            tracee.in_call = False
            finish(tracee, self._calls.result(tracee.tid))
            self._last = _LEFT
            self._go(tracee, self._resume)
        elif self._filtered or tracee.in_call:
            tracee.in_call = False
            self._go(tracee, self._resume)
        else:
            tracee.in_call = True
            self._entry(tracee)

    def _group_stop(self, tracee: Tracee, stop: int) -> None:
        """A stop by job control lasts until SIGCONT; every other stop of this kind is a new tracee's first."""
        if stop in _STOPPING:
            self._go(tracee, PTRACE_LISTEN)
            if tracee.tid == self._root and not self.root_stopped:
                self.root_stopped = True
                self._observer.stopped(stop)
        else:
            if tracee.tid == self._root:
                self.root_stopped = False
            self._go(tracee, self._resume)

    def _signal(self, tracee: Tracee, number: int) -> None:
        if tracee.process.tgid == self._root:
            code, sender = native.signal_sender(tracee.tid)
            if not self._observer.arriving(number, code, sender):
                number = 0
        self._go(tracee, self._resume, number)

    def _event(self, tracee: Tracee, event: int) -> None:
        message = native.event_message(tracee.tid)
        if event in (native.EVENT_FORK, native.EVENT_VFORK, native.EVENT_CLONE):
            self.family.born(tracee, message, event)
            early = self.family.early.pop(message, None)
            self._go(tracee, self._resume)
            if early is not None:
                self.dispatch(message, early)
        elif event == native.EVENT_EXEC:
            tracee = self.family.replaced(tracee, message)
            tracee.in_call = True  # the exit of execve(2) is yet to come, even where its entry was never seen
            if tracee.tid == self._root:
                self._observer.started()
            self._go(tracee, self._resume)
        else:
            self._go(tracee, self._resume)

    def _gone(self, tid: int, tracee: Tracee | None, status: int) -> None:
        self.family.early.pop(tid, None)
        if tracee is not None:
            self._lost(tracee, status)
        if tid == self._root:
            self._observer.exited(status, len(self.family.tracees))
        for orphan in list(self.family.early):
            self._adopt(orphan)

    def _lost(self, tracee: Tracee, status: int) -> None:
        self._engine.current = tracee
        process = tracee.process
        self.family.lost(tracee)
        if not process.threads:
            now = time.monotonic_ns()
            self._engine.failures.settle(now, process)
            if process.announced:
                record = Record(Kind.PROCESS_EXIT, now, process.tgid, tracee.tid, payload=ProcessExit(status))
                self._engine.sink.put(record)

    def _adopt(self, tid: int) -> None:
        """A new tracee whose parent died before it could tell of it."""
        if self.family.adopt(tid):
            self.dispatch(tid, self.family.early.pop(tid))
