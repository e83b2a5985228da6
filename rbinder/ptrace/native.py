"""The kernel calls that neither the standard library nor python-ptrace offers, with buffers made once.

Everything here raises OSError as the standard library does. Constants are from linux/ptrace.h, linux/prctl.h,
linux/seccomp.h unless said otherwise.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from ptrace.binding import func as bindings

from rbinder.kernel import PR_SET_NO_NEW_PRIVS, failure, libc, prctl

PTRACE_CONT = bindings.PTRACE_CONT
PTRACE_SYSCALL = bindings.PTRACE_SYSCALL
PTRACE_DETACH = bindings.PTRACE_DETACH
PTRACE_GETEVENTMSG = bindings.PTRACE_GETEVENTMSG
PTRACE_GETREGSET = bindings.PTRACE_GETREGSET
PTRACE_SETREGSET = bindings.PTRACE_SETREGSET
PTRACE_GETSIGINFO = bindings.PTRACE_GETSIGINFO
# not in python-ptrace 0.9.9
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_LISTEN = 0x4208
PTRACE_GET_SYSCALL_INFO = 0x420E  # Linux 5.3

OPTIONS = (
    bindings.PTRACE_O_TRACESYSGOOD
    | bindings.PTRACE_O_TRACEFORK
    | bindings.PTRACE_O_TRACEVFORK
    | bindings.PTRACE_O_TRACECLONE
    | bindings.PTRACE_O_TRACEEXEC
    | 0x00000080  # PTRACE_O_TRACESECCOMP
    | 0x00100000  # PTRACE_O_EXITKILL: a call that asks for a tracer which is gone fails with ENOSYS
)
EVENT_FORK = bindings.PTRACE_EVENT_FORK
EVENT_VFORK = bindings.PTRACE_EVENT_VFORK
EVENT_CLONE = bindings.PTRACE_EVENT_CLONE
EVENT_EXEC = bindings.PTRACE_EVENT_EXEC
EVENT_SECCOMP = 7
EVENT_STOP = 128

WALL = 0x40000000  # __WALL, wait(2): threads as well as processes

SECCOMP_SET_MODE_FILTER = 1

_ptrace = libc.ptrace
_ptrace.argtypes = (ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_ptrace.restype = ctypes.c_long
_syscall = libc.syscall
_syscall.restype = ctypes.c_long
_get_errno = ctypes.get_errno


def ptrace(request: int, tid: int, address: int = 0, data: int = 0) -> int:
    """ptrace(2). Raises ProcessLookupError (ESRCH) where the tracee is gone or not stopped."""
    result: int = _ptrace(request, tid, address, data)
    if result == -1:
        raise failure()
    return result


_message = ctypes.c_ulong()
_message_address = ctypes.addressof(_message)


def event_message(tid: int) -> int:
    """The number that came with the event: a new child's id, or at an exec the thread's former id."""
    ptrace(PTRACE_GETEVENTMSG, tid, 0, _message_address)
    return _message.value


# struct ptrace_syscall_info: op, arch, instruction pointer, stack pointer, then by op
#   entry and seccomp: nr, args[6]     exit: rval, is_error
CALL_ENTRY, CALL_EXIT, CALL_SECCOMP = 1, 2, 3
_info = ctypes.create_string_buffer(88)
_info_address = ctypes.addressof(_info)
_unpack_call = struct.Struct("<B3xI8x8xQ6Q").unpack_from
_unpack_result = struct.Struct("<B23xq").unpack_from


def syscall_entry(tid: int) -> tuple[int, ...]:
    """(op, audit architecture, number, six arguments) of the call the stopped tracee is about to make."""
    if _ptrace(PTRACE_GET_SYSCALL_INFO, tid, 88, _info_address) < 0:
        raise failure()
    return _unpack_call(_info)


def syscall_result(tid: int) -> int:
    """What the call returned: a count, or a negated errno."""
    if _ptrace(PTRACE_GET_SYSCALL_INFO, tid, 88, _info_address) < 0:
        raise failure()
    result: int = _unpack_result(_info)[1]
    return result


_siginfo = ctypes.create_string_buffer(128)
_siginfo_address = ctypes.addressof(_siginfo)


def signal_sender(tid: int) -> tuple[int, int]:
    """(si_code, si_pid) of the signal at whose delivery the tracee stopped."""
    ptrace(PTRACE_GETSIGINFO, tid, 0, _siginfo_address)
    _, _, code, _, pid = struct.unpack_from("<iiiii", _siginfo)
    return code, pid


class IoVector(ctypes.Structure):
    """struct iovec of readv(2)."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _FilterProgram(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install_filter(instructions: bytes, seccomp_number: int) -> None:
    """Install a seccomp filter on this thread and all it will start.

    Without the right to do so otherwise, no_new_privs is set first: setuid programs then run without their privilege.
    """
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = _FilterProgram(len(instructions) // 8, ctypes.addressof(buffer))

    def attempt() -> int:
        return int(_syscall(seccomp_number, SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(program)))

    if attempt() == 0:
        return
    if _get_errno() != errno.EACCES:
        raise failure()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if attempt() != 0:
        raise failure()


def pidfd_getfd(tgid: int, descriptor: int, number: int) -> int:
    """A copy of another process's descriptor (Linux 5.6; needs the right to ptrace it)."""
    pidfd = os.pidfd_open(tgid)
    try:
        copy = int(_syscall(number, pidfd, descriptor, 0))
        if copy < 0:
            raise failure()
        return copy
    finally:
        os.close(pidfd)
