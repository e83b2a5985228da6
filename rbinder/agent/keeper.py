"""The keeper: parent of the command and of what its descendants leave behind, holder of the shared memory.

It is in nobody's way: a program that lost it would go on as it is. It stays until the last descendant has ended, so
that the records' pipe, which it holds open, ends with them.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import os
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from select import POLLERR, POLLHUP, POLLIN, poll

from rbinder.agent.canary import Canary, Identity
from rbinder.agent.carried import carrying
from rbinder.agent.place import Place
from rbinder.agent.shared import Shared
from rbinder.config import Config
from rbinder.control import Control, Link, exit_code
from rbinder.inheritance import Inherited
from rbinder.kernel import PR_SET_CHILD_SUBREAPER, PR_SET_NAME, SI_USER, libc, prctl, read_signals, signalfd
from rbinder.privilege import stat_fields, status
from rbinder.start import Start, environment, let_go

_PTRACE_CONT = 7  # linux/ptrace.h
_CREDENTIALS = struct.Struct("<iII")  # struct ucred: pid, uid, gid
_HELD = 0.05  # seconds: whoever signals processes one by one (pkill) may come to the launcher before it comes to us
_GENERATIONS = 4096  # of processes between the keeper and a descendant that asks for the memory


class Keeper:
    """Runs until the last descendant has ended. `place` is None where the command is to run without the agent."""

    def __init__(self, config: Config, link: Link, records: int, shared: Shared | None, place: Place | None) -> None:
        self._config = config
        self._link = link
        self._records = records
        self._shared = shared
        self._place = place
        self._canary = Canary(time.monotonic)
        self._root = 0
        self._held: deque[tuple[float, Identity]] = deque()  # (when to judge it, what the launcher was sent)
        self._ending = False  # everything is to end
        self._poll = poll()

    def run(self, path: str, inherited: Inherited) -> None:
        """Start the command and stay for as long as anything of it runs."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        signals = signalfd(frozenset(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))
        listener = self._listen()
        try:
            if self._start(path, inherited):
                self._stay(signals, listener)
        finally:
            if self._place is not None:
                self._place.remove()

    # -- the start

    def _start(self, path: str, inherited: Inherited) -> bool:
        own = environment()
        if self._place is not None and self._shared is not None:
            shared = self._shared
            own = carrying(own, self._place.path, os.getpid(), shared.descriptor, shared.token)
        start = Start(path, self._config.command, own, inherited)
        self._root = start.pid
        start.release(b"", 0)
        _resemble(path, self._config.command)
        _, number = start.outcome()
        if number:
            self._link.send(Control.FAILED, number)
            return False
        self._link.send(Control.STARTED, self._root)
        let_go(0, 1)  # the program's pipes end when the program closes them
        return True

    def _listen(self) -> socket.socket | None:
        """Where those ask for the memory who can't open /proc/KEEPER/fd: other users, or without that file system."""
        if self._shared is None or self._place is None:
            return None
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            listener.bind(b"\0rbinder-" + self._shared.token.hex().encode())
            listener.listen(64)
        except OSError:
            listener.close()
            return None
        listener.setblocking(False)
        return listener

    # -- the loop

    def _stay(self, signals: int, listener: socket.socket | None) -> None:
        watch = self._poll
        watch.register(signals, POLLIN)
        watch.register(self._link.descriptor, POLLIN)
        watch.register(self._records, 0)  # POLLERR is always reported
        if listener is not None:
            watch.register(listener, POLLIN)
        while True:
            for descriptor, events in watch.poll(self._patience()):
                if descriptor == signals:
                    self._note(signals)
                elif descriptor == self._link.descriptor:
                    self._note(signals)  # what was sent to the group has come here before
                    self._take_messages()
                elif descriptor == self._records:
                    self._nobody_reads(events)
                elif listener is not None:
                    self._answer(listener)
            self._judge(signals)
            if not self._reap():
                return

    def _note(self, signals: int) -> None:
        """Take our own copies of what was sent to others as well."""
        while taken := read_signals(signals):
            for number, code, sender in taken:
                if number != signal.SIGCHLD or code <= SI_USER:
                    self._canary.sent((number, code, sender))

    def _nobody_reads(self, events: int) -> None:
        """Launcher and collector are gone: nobody will ever take another record."""
        self._poll.unregister(self._records)
        if events & (POLLERR | POLLHUP) and self._shared is not None:
            self._shared.detach()

    # -- children

    def _reap(self) -> bool:
        """Take note of what has ended or was stopped; False: nothing is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if os.WIFSTOPPED(status):
                self._stopped(pid, os.WSTOPSIG(status))
            elif pid == self._root:
                self._exited(status)
            elif self._ending:
                self._kill_all()  # what has just become our child may be a stranger

    def _stopped(self, pid: int, number: int) -> None:
        """A child that made its parent its tracer (PTRACE_TRACEME) goes on; else it is job control's."""
        signal_number = 0 if number == signal.SIGTRAP else number
        continued = libc.ptrace(_PTRACE_CONT, pid, None, ctypes.c_void_p(signal_number)) == 0
        if not continued and pid == self._root:
            self._link.send(Control.STOPPED, number)

    def _exited(self, status: int) -> None:
        self._root = 0
        self._link.send(Control.EXITED, exit_code(status), int(_has_children()))

    def _kill_all(self) -> None:
        for pid in descendants(os.getpid()):
            _kill(pid, signal.SIGKILL)

    # -- messages

    def _take_messages(self) -> None:
        for message in self._link.take():
            if message is None:  # the launcher has ended: who reads its output gets the end when the program closes it
                self._poll.unregister(self._link.descriptor)
                let_go(2)
                return
            kind, (number, code, sender) = message
            if kind is Control.SIGNAL:
                self._held.append((time.monotonic() + _HELD, (number, code, sender)))
            elif kind is Control.IS_IT_STOPPED:
                if self._is_stopped():
                    self._link.send(Control.STILL_STOPPED, number)
            elif kind is Control.DETACHED:
                let_go(2)
            elif kind is Control.CONTAINER_ENDS:
                self._ending = True
                self._kill_all()

    def _patience(self) -> float | None:
        """Milliseconds until the next signal that is held back is to be judged; None for ever."""
        return max(0.0, self._held[0][0] - time.monotonic()) * 1000 + 1 if self._held else None

    def _judge(self, signals: int) -> None:
        while self._held and self._held[0][0] <= time.monotonic():
            _, identity = self._held.popleft()
            self._note(signals)
            news = self._canary.is_news(identity)
            if self._root and (news or self._has_left()):
                _kill(self._root, identity[0])

    def _has_left(self) -> bool:
        """Whether the program is in another process group: then it doesn't get what is sent to ours."""
        try:
            return os.getpgid(self._root) != os.getpgid(0)
        except OSError:
            return False

    def _is_stopped(self) -> bool:
        try:
            return bool(self._root) and status(self._root).get("State", "").startswith("T")
        except OSError:
            return False

    # -- the memory

    def _answer(self, listener: socket.socket) -> None:
        """Hand the memory to who asks, if it is one of ours."""
        with contextlib.suppress(OSError):
            peer, _ = listener.accept()
            with peer:
                data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
                pid, _, _ = _CREDENTIALS.unpack(data)
                if self._shared is not None and descends(pid, os.getpid()):
                    rights = array.array("i", [self._shared.descriptor])
                    peer.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], socket.MSG_DONTWAIT)


def _resemble(path: str, command: tuple[str, ...]) -> None:
    """Whoever signals the program by its name or command line, and so perhaps the launcher (pkill -f), means us too."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        name = ctypes.create_string_buffer(os.fsencode(os.path.basename(path))[:15])
        prctl(PR_SET_NAME, ctypes.addressof(name))
        fields = stat_fields(os.getpid())
        start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, proc(5)
        words = b"\0".join(map(os.fsencode, ("keeper of " + command[0], *command[1:])))
        if 0 < start < end:
            ctypes.memmove(start, words[: end - start - 1].ljust(end - start, b"\0"), end - start)


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _has_children() -> bool:
    """Whether there are any beside those that have ended already and left none."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None or _has_living_children()
    except ChildProcessError:
        return False


def _has_living_children() -> bool:
    return any(_parent(pid)[1] != "Z" for pid in descendants(os.getpid()))


def _parent(pid: int) -> tuple[int, str]:
    """(its parent, its state) of a process; (0, "Z") where it is gone."""
    try:
        state, parent, *_ = stat_fields(pid)
        return int(parent), state
    except (OSError, ValueError):
        return 0, "Z"


def descends(pid: int, ancestor: int) -> bool:
    """Whether a process is below another one."""
    for _ in range(_GENERATIONS):
        if pid in (0, 1):
            return False
        if pid == ancestor:
            return True
        pid, _ = _parent(pid)
    return False


def descendants(ancestor: int) -> Iterator[int]:
    """All processes below one, parents first."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            below.setdefault(_parent(int(name))[0], []).append(int(name))
    waiting = below.get(ancestor, [])
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += below.get(pid, [])
