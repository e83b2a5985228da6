"""Kernel calls that the standard library doesn't offer and that need no tracer. Everything here raises OSError."""

from __future__ import annotations

import ctypes
import os
import struct

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

SI_USER = 0  # asm-generic/siginfo.h: sent by kill(2); what the kernel itself sends is positive
_SIGNAL_RECORD = struct.Struct("<IiiI112x")  # struct signalfd_siginfo: signo, errno, code, pid, ...

libc = ctypes.CDLL(None, use_errno=True)


def failure() -> OSError:
    """What the last call through `libc` failed with."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def prctl(option: int, *arguments: int) -> None:
    """prctl(2)."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    if libc.prctl(option, *(ctypes.c_ulong(value) for value in padded)) < 0:
        raise failure()


class _SignalSet(ctypes.Structure):
    _fields_ = (("bits", ctypes.c_ulong * 16),)


def signalfd(signals: frozenset[int]) -> int:
    """A descriptor that reads 128-byte struct signalfd_siginfo for each of these signals (signalfd(2))."""
    mask = _SignalSet()
    for number in signals:
        mask.bits[(number - 1) // 64] |= 1 << ((number - 1) % 64)
    descriptor = int(libc.signalfd(-1, ctypes.byref(mask), os.O_CLOEXEC | os.O_NONBLOCK))
    if descriptor < 0:
        raise failure()
    return descriptor


def read_signals(descriptor: int) -> list[tuple[int, int, int]]:
    """(number, si_code, sender's process id) of some that are pending at a descriptor of signalfd's; []: none is."""
    try:
        data = os.read(descriptor, _SIGNAL_RECORD.size * 16)
    except BlockingIOError:
        return []
    return [(number, code, sender) for number, _, code, sender in _SIGNAL_RECORD.iter_unpack(data)]
