"""Registers: how each architecture makes a system call, and how a stopped tracee's call is exchanged for another."""

from __future__ import annotations

import ctypes
import errno
import platform
from dataclasses import dataclass

from rbinder.ptrace.native import (
    PTRACE_GETREGSET,
    PTRACE_SETREGSET,
    IoVector,
    ptrace,
    syscall_entry,
    syscall_result,
)

_NT_PRSTATUS = 1  # linux/elf.h
_NT_ARM_SYSTEM_CALL = 0x404


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in NT_PRSTATUS (64-bit words), and the size of the instruction that enters the kernel."""

    words: int
    number: int
    arguments: tuple[int, ...]
    result: int
    counter: int
    instruction_size: int


LAYOUTS = {
    # struct user_regs_struct, asm/user_64.h: orig_rax; rdi rsi rdx r10 r8 r9; rax; rip. `syscall` is 0F 05.
    "x86_64": Layout(27, 15, (14, 13, 12, 7, 9, 8), 10, 16, 2),
    # struct user_pt_regs, asm/ptrace.h: x8; x0..x5; x0; pc. `svc #0` has 4 bytes.
    "aarch64": Layout(34, 8, (0, 1, 2, 3, 4, 5), 0, 32, 4),
}


def machine() -> str:
    """x86_64, aarch64, ... as uname(2) tells it."""
    return platform.machine()


class Registers:
    """A stopped tracee's registers, loaded once and written back whole."""

    __slots__ = ("_layout", "_tid", "words")

    def __init__(self, tid: int, layout: Layout) -> None:
        self._tid = tid
        self._layout = layout
        self.words = (ctypes.c_uint64 * layout.words)()
        vector = IoVector(ctypes.addressof(self.words), ctypes.sizeof(self.words))
        ptrace(PTRACE_GETREGSET, tid, _NT_PRSTATUS, ctypes.addressof(vector))

    def copy(self) -> Registers:
        """The same registers of the same tracee, to be changed and stored."""
        other = Registers.__new__(Registers)
        other._tid, other._layout = self._tid, self._layout
        other.words = type(self.words).from_buffer_copy(self.words)
        return other

    def store(self) -> None:
        """Write the registers back."""
        vector = IoVector(ctypes.addressof(self.words), ctypes.sizeof(self.words))
        ptrace(PTRACE_SETREGSET, self._tid, _NT_PRSTATUS, ctypes.addressof(vector))

    @property
    def number(self) -> int:
        """The number of the call the tracee is in."""
        return int(self.words[self._layout.number])

    def argument(self, index: int) -> int:
        """An argument of the call the tracee is in."""
        return int(self.words[self._layout.arguments[index]])

    def set_call(self, number: int, arguments: tuple[int, ...]) -> None:
        """At the entry of a call: make another one of it. Takes effect at once."""
        self.words[self._layout.number] = number
        for index, value in zip(self._layout.arguments, arguments, strict=False):
            self.words[index] = value
        self.store()
        if self._layout.number == 8:  # aarch64 keeps the number apart from x8 once the call was entered
            call = ctypes.c_int(number)
            vector = IoVector(ctypes.addressof(call), ctypes.sizeof(call))
            ptrace(PTRACE_SETREGSET, self._tid, _NT_ARM_SYSTEM_CALL, ctypes.addressof(vector))

    def leave_call(self, result: int) -> None:
        """At the exit of an exchanged call, with the registers of its entry: the program finds them, and `result`."""
        registers = self.copy()
        registers.words[self._layout.result] = result & 0xFFFFFFFFFFFFFFFF
        registers.store()

    def repeat_call(self) -> None:
        """At the exit of an exchanged call, with the registers of its entry: enter the kernel again, for that call."""
        registers, layout = self.copy(), self._layout
        registers.words[layout.counter] -= layout.instruction_size
        if layout.result != layout.arguments[0]:
            registers.words[layout.result] = self.words[layout.number]
        registers.store()

    @property
    def result(self) -> int:
        """What the call returned, signed."""
        value = int(self.words[self._layout.result])
        return value - (1 << 64) if value >> 63 else value


class Calls:
    """Reads the call a stopped tracee is in: PTRACE_GET_SYSCALL_INFO, or before Linux 5.3 its registers."""

    def __init__(self, layout: Layout, audit_architecture: int) -> None:
        self._layout = layout
        self._architecture = audit_architecture
        self._direct = True

    def entry(self, tid: int) -> tuple[int, ...]:
        """(audit architecture, number, six arguments) of the call about to be made."""
        if self._direct:
            try:
                return syscall_entry(tid)[1:]
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                self._direct = False
        registers = Registers(tid, self._layout)
        return (self._audit(registers), registers.number, *(registers.argument(index) for index in range(6)))

    def result(self, tid: int) -> int:
        """What the call has returned."""
        return syscall_result(tid) if self._direct else Registers(tid, self._layout).result

    def _audit(self, registers: Registers) -> int:
        """0 for a 32-bit call: the code segment is 0x23 then (__USER32_CS, asm/segment.h)."""
        is_32_bit = self._layout.words == 27 and registers.words[17] == 0x23
        return 0 if is_32_bit else self._architecture
