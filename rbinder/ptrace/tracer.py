"""The tracer process: starts the command, seizes it, runs the loop, answers the launcher."""

from __future__ import annotations

import os
import random
import signal
import time

from rbinder.binder.binder import Binder
from rbinder.binder.propagation import Propagation
from rbinder.binder.sampling import create as create_sampler
from rbinder.bpf.program import AUDIT_ARCH, build
from rbinder.channel import Sink
from rbinder.config import Config
from rbinder.control import DOORBELL, Control, Link, exit_code
from rbinder.inheritance import Inherited
from rbinder.kernel import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl
from rbinder.privilege import gains_privilege, is_privileged, status
from rbinder.ptrace import native
from rbinder.ptrace.arch import machine
from rbinder.ptrace.engine import Engine
from rbinder.ptrace.loop import Loop, Observer
from rbinder.ptrace.passing import Passing
from rbinder.ptrace.subscriptions import SUBSCRIPTIONS
from rbinder.start import Start, environment, let_go


class Tracer(Observer):
    """Runs until the last tracee has ended."""

    def __init__(self, config: Config, link: Link, records: int) -> None:
        self._config = config
        self._link = link
        self._launcher = os.getppid()
        self._sink = Sink(records)
        self._passing = Passing(os.getpid(), self._has_pending, time.monotonic)
        self._ended = False
        self._root = 0
        self._start: Start | None = None
        self._loop: Loop | None = None

    def run(self, path: str, inherited: Inherited) -> None:
        """Start the command and follow it to its end."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_PDEATHSIG, DOORBELL)
        start = self._start = Start(path, self._config.command, environment(), inherited)
        self._root = start.pid
        architecture = machine()
        reason = self._seize(architecture, path)
        if reason:
            self._run_untraced(start, reason)
            return
        engine = self._make_engine(architecture)
        program = b""
        if self._config.seccomp:
            program = build(architecture, engine.numbers, SUBSCRIPTIONS)
        start.release(program, engine.numbers["seccomp"])
        let_go(0, 1)  # the program's pipes end when the program closes them
        self._loop = Loop(engine, start.pid, bool(program), self, AUDIT_ARCH[architecture])
        self._loop.run()
        self._finish(engine)

    def _make_engine(self, architecture: str) -> Engine:
        config = self._config
        generator = random.Random(os.urandom(32))
        sampler = create_sampler(config.sampler, config.sampler_argument)
        binder = Binder(Propagation(config.propagators), sampler, generator.getrandbits)
        return Engine(architecture, binder, self._sink, config.service_name)

    def _seize(self, architecture: str, path: str) -> str:
        """Why the command can't be traced; "" where it is now."""
        if architecture not in AUDIT_ARCH:
            return f"rbinder doesn't know {architecture}"
        above = _tracer_of_ours()
        if above:
            return f"rbinder is itself being traced, by {above}"
        if not self._config.seccomp and not is_privileged() and gains_privilege(path):
            return f"{path} is a setuid program, which keeps its privilege only where nobody traces it"
        try:
            native.ptrace(native.PTRACE_SEIZE, self._root, 0, native.OPTIONS)
        except OSError as error:
            return f"ptrace is refused here ({error.strerror})"
        return ""

    def _run_untraced(self, start: Start, reason: str) -> None:
        from rbinder.cli import say

        say(f"{reason}: the program runs untraced (`rbinder --check` tells more)")
        start.release(b"", 0)
        self.started()
        let_go(0, 1)  # the program's pipes end when the program closes them
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == self._root and os.WIFSTOPPED(status):
                self.stopped(os.WSTOPSIG(status))
            elif pid == self._root:
                self.exited(status, 0)
                return
            if not pid and signal.sigwaitinfo({signal.SIGCHLD, DOORBELL}).si_signo == DOORBELL:
                self.rung()

    def _finish(self, engine: Engine) -> None:
        if self._config.verbosity >= 2:
            counts = ", ".join(f"{name} {count}" for name, count in engine.stops.most_common())
            engine.say(f"{sum(engine.stops.values())} stops: {counts}")
        engine.failures.settle(1 << 63)
        self._sink.close(time.monotonic() + 1.0)

    # -- what the loop tells

    def started(self) -> None:
        """Now the collector's heavy imports are in nobody's way."""
        self._link.send(Control.STARTED)
        if self._start is None or self._loop is None:
            return
        refused, _ = self._start.outcome()
        self._start = None
        if refused:
            self._loop.lose_filter()

    def exited(self, status: int, remaining: int) -> None:
        """The program has ended: the launcher ends with its status."""
        self._ended = True
        if self._start is not None and (number := self._start.outcome()[1]):
            self._link.send(Control.FAILED, number)
            return
        self._link.send(Control.EXITED, exit_code(status), remaining)

    def stopped(self, signal_number: int) -> None:
        """The program was stopped: so is the launcher."""
        self._link.send(Control.STOPPED, signal_number)

    def arriving(self, signal_number: int, code: int, sender: int) -> bool:
        """Whether it isn't the second copy of one signal."""
        return self._passing.arriving((signal_number, code, sender))

    def rung(self) -> None:
        """The launcher has a message, or is gone."""
        if self._loop is not None:
            self._loop.drain()
        for message in self._link.take():
            if message is None:
                self._launcher_gone()
                return
            kind, (number, code, sender) = message
            if kind is Control.SIGNAL:
                if self._passing.meant_for_us((number, code, sender)):
                    self._kill(self._root, number)
            elif kind is Control.IS_IT_STOPPED:
                self._confirm_stop(number)
            elif kind is Control.DETACHED:
                let_go(2)
            elif kind is Control.CONTAINER_ENDS:
                self._kill_all()

    def _confirm_stop(self, number: int) -> None:
        if self._loop is not None and self._root in self._loop.family.tracees:
            # ended by SIGCONT as soon as that is sent, although the loop will be told of it only later
            stopped = self._loop.root_stopped and not self._has_pending(signal.SIGCONT)
        else:
            stopped = self._status().get("State", "").startswith("T")
        if stopped:
            self._link.send(Control.STILL_STOPPED, number)

    def _has_pending(self, number: int) -> bool:
        """Whether a signal waits for the program."""
        return bool(int(self._status().get("ShdPnd", "0"), 16) >> (number - 1) & 1)

    def _status(self) -> dict[str, str]:
        """The program's /proc/PID/status; nothing where it has ended."""
        try:
            return status(self._root)
        except OSError:
            return {}

    def _launcher_gone(self) -> None:
        """It was killed: so would the program have been."""
        if not self._ended and os.getppid() != self._launcher:
            self._kill(self._root, signal.SIGKILL)

    def _kill_all(self) -> None:
        if self._loop is not None:
            for tgid in list(self._loop.family.processes):
                self._kill(tgid, signal.SIGKILL)

    def _kill(self, pid: int, number: int) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return


def _tracer_of_ours() -> str:
    """Who traces this process, and so whatever it starts: "strace (process 123)"; "" for nobody."""
    pid = status(os.getpid()).get("TracerPid", "0")
    if pid == "0":
        return ""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return f"{file.read().strip()} (process {pid})"
    except OSError:
        return f"process {pid}"
