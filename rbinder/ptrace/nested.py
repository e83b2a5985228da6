"""A debugger or tracer below us: what it wants to trace is let go, because nobody can have two tracers.

Letting go is more than PTRACE_DETACH: the process keeps our filter, and a call that the filter wants traced fails with
ENOSYS once no tracer answers. A second filter on top asks a supervisor instead (SECCOMP_RET_USER_NOTIF goes before
SECCOMP_RET_TRACE, seccomp(2)), and the supervisor lets every call continue. It is a process of its own, and ends with
the last process that has the filter.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
from select import POLLIN, poll
from typing import TYPE_CHECKING

from rbinder.bpf.program import RET_USER_NOTIF, build
from rbinder.privilege import status
from rbinder.ptrace import memory, native, scratch
from rbinder.ptrace.arch import machine
from rbinder.ptrace.remote import Gone, Remote
from rbinder.ptrace.subscriptions import SUBSCRIPTIONS

if TYPE_CHECKING:
    from rbinder.ptrace.engine import Engine
    from rbinder.ptrace.tracee import Tracee

_TRACEME, _ATTACH, _SEIZE = 0, 16, native.PTRACE_SEIZE
_NEW_LISTENER = 1 << 3  # SECCOMP_FILTER_FLAG_NEW_LISTENER, linux/seccomp.h
# linux/seccomp.h: SECCOMP_IOCTL_NOTIF_RECV, _SEND, _SET_FLAGS; struct seccomp_notif has 80 bytes, _resp 24
_RECEIVE, _ANSWER, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082104
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE, Linux 5.5
_SYNC_WAKE_UP = struct.pack("<Q", 1)  # SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6
_SAID = "a tracer runs below rbinder: what it traces is not traced by rbinder"


def ptrace(engine: Engine, tracee: Tracee, arguments: tuple[int, ...]) -> None:
    """ptrace(2) is about to be called by a tracee of ours."""
    request = arguments[0] & 0xFFFFFFFF
    if request == _TRACEME:
        _let_go(engine, tracee, at_entry=True)
    elif request in (_ATTACH, _SEIZE):
        target = _target(engine, tracee, arguments[1] & 0xFFFFFFFF)
        if target is not None and target is not tracee:
            _let_go_of_other(engine, target)


def _target(engine: Engine, caller: Tracee, tid: int) -> Tracee | None:
    """The tracee that the caller knows by this id: in a PID namespace of its own that is not the id we know."""
    space = _pid_namespace(caller.tid)
    if space == _pid_namespace(os.getpid()):
        return engine.family.tracees.get(tid)
    for tracee in list(engine.family.tracees.values()):
        if _innermost_id(tracee.tid) == tid and _pid_namespace(tracee.tid) == space:
            return tracee
    return None


def _pid_namespace(tid: int) -> str:
    try:
        return os.readlink(f"/proc/{tid}/ns/pid")
    except OSError:
        return ""


def _innermost_id(tid: int) -> int:
    """The thread's id in its own PID namespace (proc(5), NSpid)."""
    try:
        return int(status(tid).get("NSpid", "0").split()[-1])
    except OSError:
        return 0


def _let_go_of_other(engine: Engine, target: Tracee) -> None:
    """Stop it wherever it is, then let it go."""
    try:
        native.ptrace(native.PTRACE_INTERRUPT, target.tid)
        _, word = os.waitpid(target.tid, native.WALL)
    except OSError:
        return
    if not os.WIFSTOPPED(word):
        engine.missed.append((target.tid, word))
        return
    event, stop = word >> 16, os.WSTOPSIG(word)
    _let_go(engine, target, at_entry=event == native.EVENT_SECCOMP, pending=0 if event or stop & 0x80 else stop)


def _let_go(engine: Engine, target: Tracee, at_entry: bool, pending: int = 0) -> None:
    engine.say(_SAID)
    signals = [pending] if pending else []
    if engine.filtered:
        try:
            remote = Remote(target.tid, engine.layout, engine.numbers, at_entry)
            if not _supervise(engine, target, remote):
                engine.say("the tracer below rbinder can't be given its way here (pidfd_getfd or seccomp is refused)")
                remote.restore()
                if not at_entry:
                    native.ptrace(native.PTRACE_CONT, target.tid, 0, pending)
                return
            remote.restore()
            signals += remote.signals
        except Gone as gone:
            engine.missed.append((target.tid, gone.status))
            return
    engine.family.detach(target)
    for number in signals:
        os.kill(target.tid, number)


def _supervise(engine: Engine, target: Tracee, remote: Remote) -> bool:
    """Put the second filter on the target and a supervisor behind it."""
    tgid, number = target.process.tgid, engine.numbers["pidfd_getfd"]
    if not _can_copy(tgid, number):
        return False
    address = remote.call("mmap", 0, scratch.SLOT, 3, 0x22, 0xFFFFFFFFFFFFFFFF, 0)  # readable, writable, private
    if -4096 < address < 0:
        return False
    program = build(machine(), engine.numbers, SUBSCRIPTIONS, RET_USER_NOTIF)
    head = struct.pack("<HxxxxxxQ", len(program) // 8, (address + 16) & 0xFFFFFFFFFFFFFFFF)  # struct sock_fprog
    if not memory.write(target.tid, address, head + program):
        return False
    listener = remote.call("seccomp", native.SECCOMP_SET_MODE_FILTER, _NEW_LISTENER, address)
    if listener < 0:
        return False
    copy = native.pidfd_getfd(tgid, listener, number)
    if os.fork() == 0:
        _serve(copy)
    os.close(copy)
    remote.call("close", listener)
    remote.call("munmap", address, scratch.SLOT)
    return True


def _can_copy(tgid: int, number: int) -> bool:
    """Whether descriptors can be copied here at all: the filter must not be installed in vain."""
    try:
        descriptors = os.listdir(f"/proc/{tgid}/fd")
        for descriptor in descriptors:
            os.close(native.pidfd_getfd(tgid, int(descriptor), number))
            return True
    except OSError:
        return False
    return not descriptors


def _serve(listener: int) -> None:
    """The supervisor: every call goes on, until nobody has the filter any more."""
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
        os.dup2(listener, 0)
        os.closerange(1, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 1 << 20 else 1 << 20)
        with contextlib.suppress(OSError):  # before Linux 6.6: slower
            fcntl.ioctl(0, _SET_FLAGS, _SYNC_WAKE_UP)
        waiting = poll()
        waiting.register(0, POLLIN)
        while waiting.poll()[0][1] & POLLIN:
            _answer()
    finally:
        os._exit(0)


def _answer() -> None:
    notification = bytearray(80)
    try:
        fcntl.ioctl(0, _RECEIVE, notification, True)
        fcntl.ioctl(0, _ANSWER, bytearray(notification[:8] + struct.pack("<qiI", 0, 0, _CONTINUE)), True)
    except OSError:
        return  # ENOENT: the caller was killed meanwhile
