"""The process the user started: it stands for the program towards whoever started it.

    launcher ──fork──▶ tracer or keeper ──fork──▶ the command
        └──────fork──▶ collector  ◀──records── tracer; or from all programs, through shared memory

The launcher passes signals on, stops when the program stops, and ends with its exit status. Tracer and keeper may
outlive it (a program that leaves daemons behind is traced to the end), the collector outlives them until its pipe is
drained.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from select import POLLIN, poll

from rbinder.channel import open_pipe
from rbinder.config import Config
from rbinder.control import DOORBELL, Control, Link
from rbinder.errors import CommandNotExecutable, CommandNotFound, EngineUnavailable
from rbinder.inheritance import inherit
from rbinder.kernel import PR_SET_PDEATHSIG, SI_USER, prctl, read_signals, signalfd

_CAN_ASK = os.access in os.supports_effective_ids
_TRACER_KILLED = "the tracer was killed, and the program with it (its calls can't go on without a tracer)"
COLLECTOR_KILLED = "the collector was killed: the spans it had not exported are lost"


def run(config: Config) -> int:
    """Start the command below an engine, and a collector; return the exit status when it ends.

    Raises CommandNotFound, CommandNotExecutable, EngineUnavailable.
    """
    path = find(config.command[0], os.environ.get("PATH", os.defpath))
    from rbinder.agent.choice import choose

    choice = choose(config.engine, path)
    if config.verbosity >= 1:
        say(f"engine {choice.engine}: {choice.reason}")
    _occupy_standard_descriptors()
    if choice.engine == "agent":
        from rbinder.agent.launcher import run as run_agent

        return run_agent(config, path, choice)
    return _run_ptrace(config, path)


def _run_ptrace(config: Config, path: str) -> int:
    launcher = os.getpid()
    inherited = inherit()
    reader, writer = open_pipe()
    ours, theirs = Link.pair()

    def trace() -> None:
        os.close(reader)
        ours.close()
        from rbinder.ptrace.tracer import Tracer

        Tracer(config, theirs, writer).run(path, inherited)

    def collect() -> None:
        ours.close()
        let_go_of_stderr_with(launcher)
        from rbinder.collector import run as run_collector

        run_collector(reader, config)

    tracer = fork(trace)
    os.close(writer)
    theirs.close()

    def start_collector() -> tuple[int, int]:
        started = start(collect)
        os.close(reader)
        return started

    return Launcher(config, ours, tracer, start_collector).wait()


def start(collect: Callable[[], None]) -> tuple[int, int]:
    """Start a collector: its process id, and a descriptor that is readable when it has ended.

    (pidfd_open is refused in containers.)
    """
    ended, alive = os.pipe()
    pid = fork(collect)
    os.close(alive)
    return pid, ended


def find(command: str, path: str) -> str:
    """The file a command names, as execvp(3) finds it. Raises CommandNotFound, CommandNotExecutable."""
    folders = [""] if "/" in command else path.split(os.pathsep)
    candidates = [os.path.join(folder, command) if folder else command for folder in folders]
    for candidate in candidates:
        # with the rights in force, as execve(2) asks: capabilities may give what the real user has not
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK, effective_ids=_CAN_ASK):
            return candidate
    for candidate in candidates:
        if os.path.isdir(candidate) and "/" in command:
            raise CommandNotExecutable(f"{command} is a directory: give a command to run")
        if os.path.isfile(candidate):
            raise CommandNotExecutable(f"{candidate} can't be executed: it has no execute permission (chmod +x)")
    raise CommandNotFound(f"{command} was not found: check its spelling{'' if '/' in command else ' and PATH'}")


def _occupy_standard_descriptors() -> None:
    """What was closed at the start stays closed for the program, and is never taken for something of ours."""
    while (descriptor := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        continue
    os.close(descriptor)


def let_go_of_stderr_with(launcher: int) -> None:
    """In the collector: where the launcher ends first (a daemon is traced on), whoever reads a pipe gets its end."""

    def let_go(*_: object) -> None:
        if not os.isatty(2):
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(null, 2, inheritable=False)
            os.close(null)

    signal.signal(signal.SIGUSR1, let_go)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)
    if os.getppid() != launcher:
        let_go()


def fork(child: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        child()
        status = 0
    except BaseException as error:
        say(f"internal error: {type(error).__name__}: {error}")
        if os.environ.get("RBINDER_VERBOSE"):
            import traceback

            traceback.print_exc()
    finally:
        os._exit(status)


def say(sentence: str) -> None:
    """A remark on stderr."""
    from rbinder.cli import say

    say(sentence)


class Launcher:
    """Waits for the program's end, and does what its parent expects of it meanwhile."""

    def __init__(self, config: Config, link: Link, engine: int, start_collector: Callable[[], tuple[int, int]]) -> None:
        self._config = config
        self._link = link
        self._engine = engine  # its process
        self._start_collector = start_collector
        self._collector = 0
        self._collector_end = -1
        self._collector_status: int | None = None
        self._signals = signalfd(frozenset(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))
        self._status: int | None = None
        self._root = 0  # the program's process id, where the engine tells it

    def wait(self) -> int:
        """The exit status: the program's, or 128 + n for a signal."""
        watch = poll()
        watch.register(self._signals, POLLIN)
        watch.register(self._link.descriptor, POLLIN)
        while self._status is None:
            for descriptor, _ in watch.poll():
                if descriptor == self._signals:
                    self._take_signals()
                elif not self._take_messages():
                    watch.unregister(self._link.descriptor)  # its end follows, as a SIGCHLD
        return self._end(self._status)

    # -- messages

    def _take_messages(self) -> bool:
        """False: the engine has closed its end."""
        for message in self._link.receive():
            if message is None:
                return False
            kind, value = message
            if kind is Control.STARTED:
                self._root = value
                self._collect()
            elif kind is Control.EXITED:
                self._collect()
                self._status = value
            elif kind is Control.STOPPED:
                self._link.send(Control.IS_IT_STOPPED, value)
                self._ring()
            elif kind is Control.STILL_STOPPED:
                self._stop(signal.Signals(value))
            elif kind is Control.FAILED:
                self._failed(value)
        return True

    def _collect(self) -> None:
        """Start the collector, once: the program runs already, so its imports delay nobody."""
        if not self._collector:
            self._collector, self._collector_end = self._start_collector()

    def _failed(self, number: int) -> None:
        raise_for = f"{self._config.command[0]} can't be executed: {os.strerror(number)}"
        if number == 2:
            raise CommandNotFound(raise_for)
        raise CommandNotExecutable(raise_for)

    # -- signals

    def _take_signals(self) -> None:
        for number, code, sender in read_signals(self._signals):
            if number == signal.SIGCHLD:
                self._reap()
            if self._is_for_the_program(number, code, sender):
                self._pass_on(number, code, sender)

    def _pass_on(self, number: int, code: int, sender: int) -> None:
        self._link.send(Control.SIGNAL, number, code, sender)
        self._ring()

    def _is_for_the_program(self, number: int, code: int, sender: int) -> bool:
        """What a terminal sends goes to the whole process group: the program has got it already."""
        if code <= SI_USER:
            return sender not in (self._engine, os.getpid())
        # but a hang-up goes to the session's leader alone (credentials(7)): the program would be that without us
        return number in (signal.SIGHUP, signal.SIGCONT) and os.getsid(0) == os.getpid()

    def _ring(self) -> None:
        try:
            if self._engine > 0:
                os.kill(self._engine, DOORBELL)
        except ProcessLookupError:
            return

    def _stop(self, number: signal.Signals) -> None:
        """The program was stopped: whoever waits for us sees us stopped by the same signal.

        Between going on and blocking the signal again, the terminal may stop program and launcher once more: then the
        program's STOPPED is old news.
        """
        if number is signal.SIGSTOP:
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})

    def _reap(self) -> None:
        """Take note of every child that has ended; process 1 has orphans as well."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if not pid:
                return
            if os.WIFSTOPPED(status):
                self._child_stopped(pid, os.WSTOPSIG(status))
            elif pid == self._collector:
                self._collector_ended(status)
            elif pid == self._engine:
                self._engine = 0
                self._engine_ended(status)
            else:
                self._orphan_ended(pid, status)

    def _child_stopped(self, pid: int, number: int) -> None:
        """A process of our own was stopped: that is between it and whoever did it."""

    def _collector_ended(self, status: int) -> None:
        self._collector_status = status

    def _orphan_ended(self, pid: int, status: int) -> None:
        """Only process 1, and who asked for it, has such children."""

    def _engine_ended(self, status: int) -> None:
        self._take_messages()
        if self._status is not None:
            return
        if not os.WIFSIGNALED(status):
            raise EngineUnavailable("the tracer ended before the program did: try `rbinder --check`")
        say(_TRACER_KILLED)
        self._status = 128 + os.WTERMSIG(status)

    # -- the end

    def _end(self, status: int) -> int:
        if os.getpid() == 1:
            self._link.send(Control.CONTAINER_ENDS)  # with process 1 goes everything else: spans first
            self._ring()
        elif self._link.remaining:
            self._link.send(Control.DETACHED)  # what is left runs, and is traced, without us
            self._ring()
            return status
        self._finish_collector(self._config.exit_timeout + 1.0)
        return status

    def _finish_collector(self, limit: float) -> None:
        self._collect()
        deadline = time.monotonic() + limit
        waiting = poll()
        waiting.register(self._collector_end, POLLIN)
        if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
            os.kill(self._collector, signal.SIGKILL)
            say("the last spans could not be handed over in time: they are lost")
            return
        while self._collector_status is None:  # its pipe has closed: it is about to be a zombie
            signal.sigtimedwait((signal.SIGCHLD,), 0.01)
            self._reap()
        if os.WIFSIGNALED(self._collector_status):
            say(COLLECTOR_KILLED)
