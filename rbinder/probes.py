"""What this kernel lets us do, found out by doing it in short-lived child processes that can neither hang nor harm us.

Each probe returns a dictionary: the step's name and "" where it worked, else the errno's name (EPERM, ...).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import signal
import struct
import time
from collections.abc import Callable
from typing import NoReturn

Answer = dict[str, str]

LIMIT = 5.0  # seconds until a probe that doesn't answer is killed

# <linux/ptrace.h>; SEIZE and EXITKILL since 3.8, GET_SYSCALL_INFO since 5.3
PTRACE_DETACH = 17
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_GET_SYSCALL_INFO = 0x420E
PTRACE_O_TRACESYSGOOD = 0x1
PTRACE_O_TRACESECCOMP = 0x80
PTRACE_O_EXITKILL = 0x100000
WAIT_ALL = 0x40000000  # __WALL, <linux/wait.h>

# <linux/prctl.h>, <linux/seccomp.h>, <linux/bpf_common.h>
PR_SET_PDEATHSIG = 1
PR_GET_SECCOMP = 21
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW = 0x7FFF0000
BPF_RET_K = 0x06

SYS_PIDFD_GETFD = 438  # <asm-generic/unistd.h> and x86-64's table; since 5.6


class FilterProgram(ctypes.Structure):
    """struct sock_fprog, <linux/filter.h>."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class Vector(ctypes.Structure):
    """struct iovec, <sys/uio.h>."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
libc.syscall.restype = ctypes.c_long


def in_child(probe: Callable[[], Answer], limit: float = LIMIT) -> Answer | None:
    """The probe's answer, obtained in a forked child; None if it gave none within `limit` seconds."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(probe, writer)
    os.close(writer)
    try:
        return _read_answer(reader, time.monotonic() + limit)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _answer(probe: Callable[[], Answer], writer: int) -> NoReturn:
    try:
        os.write(writer, json.dumps(probe()).encode() + b"\n")
    finally:
        os._exit(0)  # even after an error: nothing of the parent's may run twice


def _read_answer(reader: int, deadline: float) -> Answer | None:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    received = b""
    while not received.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return None
        data = os.read(reader, 65536)
        if not data:
            return None
        received += data
    answer: Answer = json.loads(received)
    return answer


def seccomp_mode() -> int:
    """0: this process is under no filter, 2: it is already under one; -1: the kernel knows no seccomp."""
    return int(libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0))


def install_filter() -> Answer:
    """Put a filter that allows everything on this process (for good: use `in_child`).

    `privileged` is "" where that needed no PR_SET_NO_NEW_PRIVS, which CAP_SYS_ADMIN spares (seccomp(2)).
    """
    instruction = ctypes.create_string_buffer(struct.pack("=HBBI", BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW), 8)
    program = FilterProgram(1, ctypes.addressof(instruction))

    def attempt() -> str:
        return _failure(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program), 0, 0))

    privileged = attempt()
    if not privileged:
        return {"privileged": "", "filter": ""}
    failure = _failure(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    return {"privileged": privileged, "filter": failure or attempt()}


def trace_child() -> Answer:
    """Seize a child of our own, stop it, look into it, let it go (for `in_child`: it waits for the stop)."""
    secret = ctypes.create_string_buffer(os.urandom(16), 16)  # at the same address in the child
    reader, writer = os.pipe()
    tracee = os.fork()
    if tracee == 0:
        _be_traced()
    try:
        answer = {"seize": _seize(tracee)}
        if not answer["seize"]:
            answer["stop"] = _stop(tracee)
            answer["call_info"] = _call_info(tracee)
            answer["memory"] = _read_memory(tracee, secret)
            answer["descriptor"] = _copy_descriptor(tracee, writer)
            answer["detach"] = _failure(libc.ptrace(PTRACE_DETACH, tracee, None, None))
        return answer
    finally:
        os.kill(tracee, signal.SIGKILL)
        os.waitpid(tracee, WAIT_ALL)
        os.close(reader)
        os.close(writer)


def _be_traced() -> NoReturn:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    while True:
        signal.pause()


def _seize(tracee: int) -> str:
    options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL
    return _failure(libc.ptrace(PTRACE_SEIZE, tracee, None, options))


def _stop(tracee: int) -> str:
    failure = _failure(libc.ptrace(PTRACE_INTERRUPT, tracee, None, None))
    if failure:
        return failure
    _, status = os.waitpid(tracee, WAIT_ALL)
    return "" if os.WIFSTOPPED(status) else "ESRCH"


def _call_info(tracee: int) -> str:
    buffer = ctypes.create_string_buffer(128)
    return _failure(libc.ptrace(PTRACE_GET_SYSCALL_INFO, tracee, len(buffer), ctypes.addressof(buffer)))


def _read_memory(tracee: int, secret: ctypes.Array[ctypes.c_char]) -> str:
    buffer = ctypes.create_string_buffer(len(secret))
    local = Vector(ctypes.addressof(buffer), len(buffer))
    remote = Vector(ctypes.addressof(secret), len(secret))
    count = libc.process_vm_readv(tracee, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    failure = _failure(count)
    if failure:
        return failure
    return "" if buffer.raw == secret.raw else "EIO"


def _copy_descriptor(tracee: int, descriptor: int) -> str:
    try:
        handle = os.pidfd_open(tracee)
    except OSError as error:
        return _name(error.errno or 0)
    copy = libc.syscall(ctypes.c_long(SYS_PIDFD_GETFD), handle, descriptor, 0)
    failure = _failure(copy)
    os.close(handle)
    if not failure:
        os.close(copy)
    return failure


def _failure(result: int) -> str:
    return "" if result >= 0 else _name(ctypes.get_errno())


def _name(number: int) -> str:
    return errno.errorcode.get(number, str(number))
